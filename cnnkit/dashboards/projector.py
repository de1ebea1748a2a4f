"""The features of a net's last layer, for TensorBoard's projector."""

import math
from pathlib import Path

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from cnnkit.dashboards.after_validation import class_names
from cnnkit.dashboards.board import find_net, open_board
from cnnkit.dashboards.validation_images import first_labels, first_places, to_pictures, validation_images
from cnnkit.files import replacing
from cnnkit.inspection.feature_maps import penultimate
from cnnkit.reporting.grids import encode_png, tile

LARGEST = 8192  # pixels of a sprite's side that browsers take


class Projector(Callback):
    """Writes the input of the last layer for validation images, with their names and pictures, when the run ends.

    The files ``projector_config.pbtxt`` and ``projector/`` stand beside the events; a longer run replaces them.

    Args:
        images: how many, the first ones.
    """

    def __init__(self, images: int = 500) -> None:
        self.images = images
        self._began_at = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began_at = trainer.global_step

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        board, places = open_board(trainer), first_places(trainer, self.images)
        net = find_net(trainer, pl_module)
        logger = board.tensorboard if board is not None else None
        if logger is None or net is None or trainer.global_step == self._began_at or not places:
            return
        images = validation_images(trainer, places)
        if images is not None:
            labels = first_labels(trainer, len(places))
            names = class_names(trainer, max((k for row in labels for k in row), default=0) + 1)
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                vectors = penultimate(net, trainer.precision_plugin.convert_input(images))
            pictures = to_pictures(trainer, images)
            joined = [" | ".join(names[k] for k in row) or "-" for row in labels]
            write_projector(Path(logger.log_dir), vectors.float().cpu(), joined, pictures)


def write_projector(folder: Path, vectors: Tensor, labels: list[str], images: Tensor) -> None:
    """Write vectors (N, D), labels and pictures uint8 (N, C, H, W) where TensorBoard's projector finds them.

    Args:
        folder: the folder of the events.
        vectors: (N, D).
        labels: one a vector.
        images: shown in place of points.
    """
    place = folder / "projector"
    place.mkdir(parents=True, exist_ok=True)
    with replacing(place / "vectors.tsv") as file:
        file.writelines("\t".join(f"{value:.5g}" for value in row) + "\n" for row in vectors.tolist())
    with replacing(place / "labels.tsv") as file:
        file.writelines(" ".join(label.split()) + "\n" for label in labels)
    sprite = _sprite(images)
    with replacing(place / "sprite.png", "wb") as file:
        file.write(encode_png(sprite))
    height, width = _size(images)
    with replacing(folder / "projector_config.pbtxt") as file:
        file.write(
            'embeddings {\n  tensor_name: "penultimate"\n  tensor_path: "projector/vectors.tsv"\n'
            '  metadata_path: "projector/labels.tsv"\n  sprite {\n    image_path: "projector/sprite.png"\n'
            f"    single_image_dim: {width}\n    single_image_dim: {height}\n  }}\n}}\n"
        )


def _sprite(images: Tensor) -> Tensor:
    """All images in one square grid of them, without gaps, RGB."""
    if _size(images) != tuple(images.shape[-2:]):
        images = F.interpolate(images.float(), _size(images), mode="area").round().to(torch.uint8)
    columns = math.ceil(math.sqrt(len(images)))
    grid = tile(images.expand(-1, 3, -1, -1), columns, gap=0)
    return F.pad(grid, (0, 0, 0, columns * images.shape[-2] - grid.shape[-2]), value=255)


def _size(images: Tensor) -> tuple[int, int]:
    """Height and width of an image in the sprite: its own, or what fits."""
    columns = math.ceil(math.sqrt(len(images)))
    factor = min(1.0, 64 / max(images.shape[-2:]), LARGEST / columns / max(images.shape[-2:]))
    height, width = (max(1, round(side * factor)) for side in images.shape[-2:])
    return height, width
