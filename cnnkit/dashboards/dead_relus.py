"""How many units a ReLU has silenced for good."""

from collections.abc import Mapping

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from cnnkit.dashboards.board import find_net, send_to_loggers
from cnnkit.dashboards.validation_images import first_places, validation_images
from cnnkit.inspection.dead_units import dead_relus


class DeadReLUs(Callback):
    """Logs ``dead/<layer>`` after every validation: the share of channels that a ReLU leaves at zero for all images.

    Args:
        images: validation images to look at, the first ones; the more, the fewer channels seem dead, and the longer it
            takes.
    """

    def __init__(self, images: int = 64) -> None:
        self.images = images
        self._fixed: Tensor | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Run the net once on them, on the first rank."""
        net = find_net(trainer, pl_module)
        if net is None or not trainer.is_global_zero or trainer.sanity_checking or not trainer.loggers:
            return
        if self._fixed is None:
            places = first_places(trainer, self.images)
            self._fixed = validation_images(trainer, places) if places else None
        if self._fixed is not None:
            with trainer.precision_plugin.forward_context():
                images = trainer.precision_plugin.convert_input(self._fixed)
                found: Mapping[str, float] = dead_relus(net, images)
            send_to_loggers(trainer, {f"dead/{name}": share for name, share in found.items()})

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the memory back."""
        self._fixed = None
