"""What the stages of a net make of an image."""

import lightning as L
from torch import Tensor, nn

from cnnkit.dashboards.board import OncePerRun, TimeBudget, find_net, open_board
from cnnkit.dashboards.validation_images import first_places, to_pictures, validation_images
from cnnkit.errors import UserError
from cnnkit.inspection.feature_maps import feature_maps
from cnnkit.reporting.grids import enlarge, map_grid


class FeatureMaps(OncePerRun):
    """Draws ``maps/<stage>``, the feature maps of one fixed validation image after each stage; the image itself once.

    Args:
        image: its place among the validation images.
        maps: how many of each stage at most, the first ones.
    """

    def __init__(self, image: int = 0, maps: int = 16) -> None:
        super().__init__()
        self.image, self.maps, self.budget = image, maps, TimeBudget()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        board, net = open_board(trainer), find_net(trainer, pl_module)
        if board is None or net is None or not self.budget.is_left(trainer):
            return
        with self.budget.spending():
            images = validation_images(trainer, first_places(trainer, self.image + 1)[self.image :])
            found = {} if images is None else self._compute_maps(trainer, net, images)
            if images is not None and found and not self.done:
                board.add_picture("maps/image", enlarge(to_pictures(trainer, images)[0], 64))
                self.done = True
            for name, maps in found.items():
                board.add_picture(f"maps/{name}", map_grid(maps[0].float(), limit=self.maps))

    @staticmethod
    def _compute_maps(trainer: L.Trainer, net: nn.Module, images: Tensor) -> dict[str, Tensor]:
        try:
            with trainer.precision_plugin.forward_context():
                return feature_maps(net, trainer.precision_plugin.convert_input(images))
        except UserError:  # a net without maps, such as an MLP
            return {}
