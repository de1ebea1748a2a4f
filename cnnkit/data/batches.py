"""Batches of images in memory, by index: no Python per sample, and the same for any workers, ranks and resumes.

The order of an epoch is a pure function of (seed, epoch), and a batch is one of (seed, epoch, number). So the state of
a loader is two integers.
"""

from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from cnnkit.data.sampling import order_balanced
from cnnkit.data.workers import Workers
from cnnkit.errors import UserError
from cnnkit.randomness import mix_seed


class Batch(NamedTuple):
    """What the loader yields and the data module turns into ``(images, labels)`` on the device."""

    images: Tensor  # uint8 (B, C, H, W)
    labels: Tensor  # int64 (B,)
    indices: Tensor  # int64 (B,), each image's place in its data set
    epoch: int
    number: int  # of the batch within its epoch
    repetitions: Tensor | None = None  # int64 (B,), how often each image came before in this epoch; None: never

    @property
    def draws(self) -> Tensor:
        """Numbers to augment by, int64 (B,): an image's index, and another number for each repetition."""
        return self.indices if self.repetitions is None else self.indices + (self.repetitions << 32)


class Images(Protocol):
    """What `Batches` needs of its images: a tensor has it, and so has `cnnkit.data.image_files.ImageFiles`."""

    @property
    def device(self) -> torch.device:
        """Where the images are."""

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        """Return the images of these indices, uint8 (B, C, H, W)."""


class Batches:
    """An iterable of `Batch` for Lightning or a plain loop: ``len``, ``iter``, ``set_epoch``, ``state_dict``.

    Args:
        images: uint8 (N, C, H, W), on the CPU (memory-mapped or not) or on a GPU; or files that are decoded on demand.
        labels: int64 (N,) on the same device.
        indices: int64 (M,), which of the N images this loader yields.
        batch_size: images a batch, over all ranks together: one config means one experiment on 1 GPU or 8.
        seed: names the order of every epoch.
        shuffle: a new order each epoch; else the order of ``indices``.
        balanced: with ``shuffle``, equally many images of each class, see `cnnkit.data.sampling.order_balanced`. The
            number of images in an epoch stays the same.
        repeat: the shuffled order of the first epoch in every epoch, for ``trainer.overfit_batches``.
        drop_last: leave out an incomplete last batch, so that every step sees ``batch_size`` images. Never for
            evaluation.
        rank: this process among ``world_size``; each gets its share of every batch.
        world_size: number of processes.
        num_workers: processes that gather batches ahead. 0 is fastest for images in memory.

    Raises:
        UserError: if there is no whole batch, or some rank would get no image of a batch.
    """

    batch_sampler = None  # Lightning looks for it where it has found a sampler

    def __init__(
        self,
        images: Images,
        labels: Tensor,
        indices: Tensor,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        balanced: bool = False,
        repeat: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
    ) -> None:
        _check_sizes(len(indices), batch_size, world_size, drop_last, training=shuffle or drop_last)
        self.images: Images = images
        self.labels, self.indices = labels, indices
        self.batch_size, self.seed, self.shuffle, self.repeat = batch_size, seed, shuffle, repeat
        self.balanced = balanced and shuffle
        self.rank, self.world_size, self.num_workers = rank, world_size, num_workers
        self.epoch = 0
        self.position = 0  # batches yielded in this epoch
        self._resume_at: int | None = None
        self._order: tuple[int, Tensor, Tensor | None] | None = None  # epoch, indices, repetitions
        self._workers: Workers | None = None
        count = len(indices) // batch_size if drop_last else -(-len(indices) // batch_size)
        self._bounds = [min(b * batch_size, len(indices)) for b in range(count + 1)]
        if count > 1 and self._bounds[-1] - self._bounds[-2] < world_size:
            del self._bounds[-2]  # a last batch with fewer images than ranks is added to the one before

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @property
    def dataset(self) -> Tensor:
        """The indices of the images; a tuner reads their number here."""
        return self.indices

    def order(self, epoch: int) -> Tensor:
        """Return the image indices of a whole epoch, int64 (M,), on the images' device."""
        return self._draw(epoch)[0]

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The indices of an epoch, and the repetition of each; None if no image comes twice."""
        if self.repeat or not self.shuffle:
            epoch = 0
        if self._order is None or self._order[0] != epoch:
            order, repetitions, seed = self.indices, None, mix_seed(self.seed, epoch)
            if self.balanced:
                places, drawn_before = order_balanced(self.labels[order.to(self.labels.device)].cpu(), seed)
                order, repetitions = order[places], drawn_before.to(self.images.device)
            elif self.shuffle:
                order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(seed))]
            self._order = epoch, order.to(self.images.device), repetitions
        return self._order[1:]

    def rank_indices(self, epoch: int, number: int) -> Tensor:
        """Return the image indices of this rank's share of one batch."""
        return self.order(epoch)[self._rank_share(number)]

    def _rank_share(self, number: int) -> slice:
        start, stop = self._bounds[number], self._bounds[number + 1]
        size = stop - start
        low, high = (size * r // self.world_size for r in (self.rank, self.rank + 1))
        return slice(start + low, start + high)

    def batch(self, epoch: int, number: int) -> Batch:
        """Return this rank's share of one batch: a pure function of seed, epoch and number."""
        share, (order, repetitions) = self._rank_share(number), self._draw(epoch)
        index = order[share]
        images, labels = self.images.index_select(0, index), self.labels.index_select(0, index)
        return Batch(images, labels, index, epoch, number, None if repetitions is None else repetitions[share])

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing below runs before the first `next`. Lightning calls iter() early, then set_epoch().
        start, self._resume_at = self._resume_at or 0, None
        epoch, numbers = self.epoch, range(start, len(self))
        self.position = start
        for batch in self._iterate(epoch, numbers, self.num_workers):
            self.position += 1
            yield batch
        self.epoch, self.position = epoch + 1, 0  # so that a plain loop over epochs sees a new order each time

    def _iterate(self, epoch: int, numbers: range, num_workers: int) -> Iterator[Batch]:
        gathered = 0
        if num_workers:
            for batch in self._get_workers(num_workers).gather([(epoch, number) for number in numbers]):
                gathered += 1
                yield batch
        else:
            self.end_workers()
        # All without workers, and the rest if they were ended meanwhile.
        yield from (self.batch(epoch, number) for number in numbers[gathered:])

    def _get_workers(self, count: int) -> Workers:
        """The workers of the last epoch, which do not start again; new ones if an iteration still uses those."""
        if self._workers is None or self._workers.busy:
            # Of a copy, as the end of this object is to end the workers.
            self._workers = Workers(copy(self).batch, count)
        return self._workers

    def end_workers(self) -> None:
        """End the worker processes, if there are some; a later iteration starts others."""
        if self._workers is not None:
            self._workers.end()
        self._workers = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_workers": None}

    @property
    def sampler(self) -> "Batches | SequentialSampler":
        """Lightning calls ``set_epoch`` on it; to Lightning, an order that stays the same is sequential."""
        return SequentialSampler(range(len(self))) if self.repeat else self

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch from the next ``iter`` on."""
        if epoch != self.epoch:
            self.epoch, self.position, self._resume_at = epoch, 0, None

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of batches yielded in it."""
        return {"epoch": self.epoch, "batch": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the last batch that was yielded."""
        self.epoch, self.position = state["epoch"], state["batch"]
        self._resume_at = self.position


def _check_sizes(count: int, batch_size: int, world_size: int, drop_last: bool, training: bool) -> None:
    """Refuse sizes with which some rank gets no image of a batch: it could neither train nor score."""
    key = "data.batch_size" if training else "data.eval_batch_size"
    if batch_size < 1:
        raise UserError(f"{key} is {batch_size}: give at least 1")
    if batch_size < world_size:
        raise UserError(f"{key} is {batch_size}, but {world_size} ranks share each batch: give at least {world_size}")
    if count < world_size:
        raise UserError(f"there are {count} images for {world_size} ranks: lower trainer.devices to {max(1, count)}")
    if drop_last and count < batch_size:
        raise UserError(f"{key} is {batch_size}, but there are only {count} images: give a smaller one")
    if drop_last and batch_size % world_size:
        raise UserError(f"{key} {batch_size} cannot be shared by {world_size} ranks: give a multiple of {world_size}")
