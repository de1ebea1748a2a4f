"""Image files in the place of a tensor of images: decoded on demand, and kept if memory allows."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnkit.data.batches import Batch, Batches
from cnnkit.data.images.decode import MAX_PIXELS, Resize, UnreadableImage, read_image

_FEW = 0.05  # share of the images up to which this process decodes them, as workers take longer to start


class ImageFiles:
    """The images of some files, uint8 (N, C, H, W), read through ``index_select``.

    Args:
        files: one an image.
        channels: 3 for color, 1 for gray.
        size: height and width.
        resize: how each image gets that size; see `read_image`.
        max_pixels: larger images are refused.
        strict: raise `UnreadableImage` if a file cannot be read; else name it and use a black image.
    """

    def __init__(
        self,
        files: Sequence[Path],
        channels: int,
        size: tuple[int, int],
        resize: Resize = "crop",
        max_pixels: int = MAX_PIXELS,
        strict: bool = True,
    ) -> None:
        self.files, self.channels, self.size = files, channels, size
        self.resize, self.max_pixels, self.strict = resize, max_pixels, strict
        self.device = torch.device("cpu")
        self._kept: Tensor | None = None
        self._rows: Tensor | None = None  # of the images in `_kept`, if those are of a store
        self._has = torch.zeros(len(files), dtype=torch.bool)
        # Shared with the workers of every epoch, so that each broken file is named once.
        self._named = torch.zeros(len(files), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return len(self.files), self.channels, *self.size

    @property
    def nbytes(self) -> int:
        """Bytes of all images, decoded."""
        return torch.Size(self.shape).numel()

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the images of these indices, uint8 (B, C, H, W): from memory if they were kept, else decoded."""
        assert dim == 0
        if self._kept is None:
            images = torch.empty(len(index), *self.shape[1:], dtype=torch.uint8)
        else:
            images = self._kept.index_select(0, index if self._rows is None else self._rows[index].clamp(min=0))
        for position in (~self._has[index]).nonzero().flatten().tolist():
            images[position] = self._read(int(index[position]))
        return images

    @property
    def keeps(self) -> bool:
        """Whether there is room for all images in memory."""
        return self._kept is not None

    def start_keeping(self) -> None:
        """Reserve memory for all images; the system provides it page by page, as `keep` fills it."""
        if self._kept is None:
            self._kept = torch.empty(self.shape, dtype=torch.uint8)

    def use_stored(self, pixels: Tensor, rows: Tensor) -> None:
        """Take images from those of a store instead of decoding them.

        Args:
            pixels: uint8 (M, C, H, W).
            rows: int64 (N,), where each image is among them; -1 for one that is not.
        """
        self._kept, self._rows, self._has = pixels, rows, rows >= 0

    def keep(self, index: Tensor, images: Tensor) -> None:
        """Keep decoded images in memory, if `start_keeping` was called."""
        new = ~self._has[index]
        if self._kept is not None and self._rows is None and bool(new.any()):
            self._kept[index[new]] = images[new]
            self._has[index[new]] = True

    def count_missing(self, index: Tensor) -> int:
        """Count those of these images that are not in memory."""
        return int((~self._has[index]).sum())

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is not forked gets the list of files, and not the decoded images.
        return {**vars(self), "_kept": None, "_rows": None, "_has": torch.zeros_like(self._has)}

    def _read(self, index: int) -> Tensor:
        try:
            return read_image(self.files[index], self.channels, self.size, self.resize, self.max_pixels)
        except UnreadableImage as error:
            if self.strict:
                raise
            if not self._named[index]:
                self._named[index] = True
                print(f"cnnkit: {error}; a black image takes its place", file=sys.stderr)
            return torch.zeros(self.shape[1:], dtype=torch.uint8)


class FileBatches(Batches):
    """`Batches` of `ImageFiles`: workers decode, and this process keeps the images. Then it needs no more workers.

    So only batches lie in the memory that processes share, which is often small (/dev/shm).
    """

    images: ImageFiles

    def _iterate(self, epoch: int, numbers: range, num_workers: int) -> Iterator[Batch]:
        index = torch.cat([self.rank_indices(epoch, number) for number in numbers]) if numbers else self.indices[:0]
        if self.images.count_missing(index) <= _FEW * len(index):
            num_workers = 0
        if self.images.keeps:
            self._workers = None  # those that start now have what this process has kept
        for batch in super()._iterate(epoch, numbers, num_workers):
            self.images.keep(batch.indices, batch.images)
            yield batch


def measure_free_memory() -> int:
    """Return the bytes that this process may still take: of the machine, or of its container if that has less."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except OSError:  # no Linux
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        limit, used = (
            Path("/sys/fs/cgroup", f"memory.{name}").read_text(encoding="ascii") for name in ("max", "current")
        )
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or no limit
        return free
