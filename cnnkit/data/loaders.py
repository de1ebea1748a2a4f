"""The loaders of a data module: batches of arrays where these are to stay, for one rank, with workers that end."""

from typing import Any, Literal
from weakref import WeakSet

import lightning as L
import torch
from torch import Tensor

from cnnkit.data.batches import Batches
from cnnkit.data.gpu_cache import Arrays, GpuCache
from cnnkit.data.image_files import FileBatches


class Loaders:
    """Makes the loaders of a data module, and knows those that are in use.

    Args:
        resident: whether arrays stay on the GPU, see `GpuCache`.
    """

    def __init__(self, resident: Literal["auto", "device", "host"]) -> None:
        self._gpu_cache = GpuCache(resident)
        self._features: dict[str, tuple[Tensor, Tensor]] = {}
        self._in_use: WeakSet[Batches] = WeakSet()

    def use_features(self, features: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Take features (N, D) and labels (N,) in the place of the images of a part, in the order of its indices."""
        self._features = features

    def make(
        self,
        part: str,
        name: str,
        arrays: Arrays,
        indices: Tensor,
        batch_size: int,
        trainer: L.Trainer | None,
        num_workers: int = 0,
        **options: Any,
    ) -> Batches:
        """Make the loader of a part.

        Args:
            part: ``train``, ``val`` or ``test``.
            name: of the arrays; arrays of the same name are kept on the GPU once.
            arrays: uint8 images (N, C, H, W), or image files, and their labels (N,) or (N, K).
            indices: of the part's images in the arrays, int64.
            batch_size: images a step, over all ranks together.
            trainer: of the run, for its device and ranks; None: the CPU, alone.
            num_workers: processes that gather batches ahead; none for what is on a GPU.
            options: of `Batches`: seed and order.

        Raises:
            UserError: the arrays must be on a GPU, and the run is not on one.
        """
        if part in self._features:
            name, arrays = f"{part} features", self._features[part]
            indices, num_workers = torch.arange(len(arrays[1])), 0
        images, labels = self._gpu_cache.place(name, arrays, find_device(trainer))
        batches = (Batches if isinstance(images, Tensor) else FileBatches)(
            images,
            labels,
            indices,
            batch_size,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            num_workers=0 if images.device.type == "cuda" else num_workers,
            **options,
        )
        self._in_use.add(batches)
        return batches

    def clear(self) -> None:
        """End the worker processes, free the GPU's memory, and forget the features."""
        self.end_workers()
        self._gpu_cache.clear()
        self._features = {}

    def end_workers(self) -> None:
        """End the worker processes of all loaders."""
        for batches in list(self._in_use):
            batches.end_workers()


def find_device(trainer: L.Trainer | None) -> torch.device:
    """Return the device of this rank; the CPU if there is no trainer."""
    return trainer.strategy.root_device if trainer else torch.device("cpu")
