"""What a net looks like inside: its first kernels, and what its stages make of an image."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from cnnkit.dashboards.board import TimeBudget, find_net, open_board
from cnnkit.dashboards.evaluation import SHARE
from cnnkit.dashboards.validation_images import first_places, to_pictures, validation_images
from cnnkit.errors import UserError
from cnnkit.inspection.feature_maps import feature_maps
from cnnkit.reporting.grids import enlarge, kernel_grid, map_grid


class Kernels(Callback):
    """Draws ``net/kernels``, the kernels of the first convolution, after an epoch.

    Args:
        kernels: at most so many.
    """

    def __init__(self, kernels: int = 64) -> None:
        self.kernels, self.budget = kernels, TimeBudget(SHARE)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw; nothing for a net without convolutions."""
        board, net = open_board(trainer), find_net(trainer, pl_module)
        first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None) if net is not None else None
        if board is not None and first is not None and self.budget.due(trainer):
            with self.budget.spending():
                board.picture("net/kernels", kernel_grid(first.weight[: self.kernels]))


class FeatureMaps(Callback):
    """Draws ``maps/<stage>``: what the net's stages make of one validation image, always the same one; and the image.

    Args:
        image: its place among the validation images.
        maps: of each stage at most so many, the first ones.
    """

    def __init__(self, image: int = 0, maps: int = 16) -> None:
        self.image, self.maps, self.budget = image, maps, TimeBudget(SHARE)
        self._image_drawn = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the run has its image."""
        return {"image_drawn": self._image_drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run has it already."""
        self._image_drawn = state_dict["image_drawn"]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw; nothing for a net without maps."""
        board, net = open_board(trainer), find_net(trainer, pl_module)
        if board is None or net is None or not self.budget.due(trainer):
            return
        with self.budget.spending():
            places = first_places(trainer, self.image + 1)[self.image :]
            images = validation_images(trainer, places) if places else None
            found = {} if images is None else self._maps(trainer, net, images)
            if images is not None and found and not self._image_drawn:
                board.picture("maps/image", enlarge(to_pictures(trainer, images)[0], 64))
                self._image_drawn = True
            for name, maps in found.items():
                board.picture(f"maps/{name}", map_grid(maps[0].float(), limit=self.maps))

    @staticmethod
    def _maps(trainer: L.Trainer, net: nn.Module, images: Tensor) -> dict[str, Tensor]:
        try:
            with trainer.precision_plugin.forward_context():
                return feature_maps(net, trainer.precision_plugin.convert_input(images))
        except UserError:  # a net without maps, as an MLP
            return {}
