"""How TensorBoard's page of custom scalars is laid out."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.dashboards.board import tensorboard

LAYOUT = {
    "training": {
        "loss": ["^train/loss$", "^val/loss$"],
        "accuracy": ["^train/acc$", "^val/acc$"],
        "learning rate": ["^lr-"],
    },
    "auxiliary heads": {
        "loss": ["^train/loss_main$", "^train/loss_aux/"],
        "accuracy": ["^train/acc$", "^train/acc_aux/"],
    },
    "validation": {"accuracy by class": ["^val/acc_class/"], "expected calibration error": ["^val/ece$"]},
    "layers": {
        "gradient norms": ["^gradients/"],
        "weight norms": ["^weights/"],
        "gradient / weight": ["^ratio/"],
        "dead ReLUs": ["^dead/"],
    },
    "cost": {"images per second": ["^images_per_second$"], "memory in MB": ["^memory/"]},
}


class Layout(Callback):
    """Lays out, once a run, which scalars share a chart: training beside validation, all rates, all heads, all layers.

    The page is TensorBoard's "Custom Scalars". A metric of one's own is there too if its name fits, and has a chart of
    its own on the page "Scalars" anyway.
    """

    def __init__(self) -> None:
        self._done = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the run has its layout."""
        return {"done": self._done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run has it already."""
        self._done = state_dict["done"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write it; heads have charts where there are heads."""
        board = tensorboard(trainer)
        if not self._done and board is not None and trainer.is_global_zero:
            heads = hasattr(pl_module, "forward_aux")
            chosen = {name: charts for name, charts in LAYOUT.items() if heads or name != "auxiliary heads"}
            board.experiment.add_custom_scalars(
                {
                    name: {chart: ["Multiline", tags] for chart, tags in charts.items()}
                    for name, charts in chosen.items()
                }
            )
        self._done = True
