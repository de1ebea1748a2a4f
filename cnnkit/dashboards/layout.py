"""The layout of TensorBoard's page of custom scalars."""

import lightning as L

from cnnkit.dashboards.board import OncePerRun, find_tensorboard

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


class Layout(OncePerRun):
    """Lays out, once a run, which scalars share a chart on TensorBoard's page "Custom Scalars".

    A metric of the user's own is there too if its name fits; in any case it has a chart on the page "Scalars".
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        logger = find_tensorboard(trainer)
        if not self.done and logger is not None and trainer.is_global_zero:
            has_heads = hasattr(pl_module, "forward_aux")
            logger.experiment.add_custom_scalars(
                {
                    name: {chart: ["Multiline", tags] for chart, tags in charts.items()}
                    for name, charts in LAYOUT.items()
                    if has_heads or name != "auxiliary heads"
                }
            )
        self.done = True
