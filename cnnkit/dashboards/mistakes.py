"""The images that a net is most sure of and wrong about."""

import lightning as L
import numpy as np

from cnnkit.dashboards.after_validation import AfterValidation, class_names
from cnnkit.dashboards.board import Board
from cnnkit.dashboards.validation_images import to_pictures, validation_images
from cnnkit.reporting.figures import short
from cnnkit.reporting.grids import captioned_grid

LEAST_SIDE = 64  # pixels of an image's longer side


class Mistakes(AfterValidation):
    """Draws ``val/mistakes``: the most confidently wrong validation images, the worst first, with both classes' names.

    Args:
        images: how many at most.
    """

    def __init__(self, images: int = 24) -> None:
        super().__init__()
        self.images = images

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        confidence = np.where(kept[:, 1] == kept[:, 2], -1.0, kept[:, 0])
        worst = np.argsort(-confidence, kind="stable")[: self.images]
        worst = worst[confidence[worst] >= 0]
        images = validation_images(trainer, worst.tolist())
        if images is None:
            return
        names = class_names(trainer, int(kept[:, 1:].max()) + 1)
        captions = [
            f"{short(names[int(true)], 16)}, not\n{short(names[int(predicted)], 16)} {probability:.0%}"
            for probability, predicted, true in kept[worst]
        ]
        scale = max(1, -(-LEAST_SIDE // max(images.shape[-2:])))
        board.add_picture("val/mistakes", captioned_grid(to_pictures(trainer, images), captions, scale=scale))
