"""The share of units that a ReLU has silenced for good."""

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from cnnkit.dashboards.board import find_net, send_to_loggers
from cnnkit.dashboards.validation_images import first_places, validation_images
from cnnkit.inspection.dead_units import dead_relus


class DeadReLUs(Callback):
    """Logs ``dead/<layer>`` after every validation: the share of channels that a ReLU leaves at zero for all images.

    Args:
        images: number of validation images, the first ones; with more images fewer channels seem dead, and it takes
            longer.
    """

    def __init__(self, images: int = 64) -> None:
        self.images = images
        self._fixed: Tensor | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        net = find_net(trainer, pl_module)
        if net is None or not trainer.is_global_zero or trainer.sanity_checking or not trainer.loggers:
            return
        if self._fixed is None:
            self._fixed = validation_images(trainer, first_places(trainer, self.images))
        if self._fixed is not None:
            with trainer.precision_plugin.forward_context():
                shares = dead_relus(net, trainer.precision_plugin.convert_input(self._fixed))
            send_to_loggers(trainer, {f"dead/{name}": share for name, share in shares.items()})

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._fixed = None
