"""Images in NumPy arrays, for notebooks: split by content, hashed for the manifest, batched as all data are."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cnnkit.data.arguments import check_training_part
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.folders.assignment import SplitSettings, assign_parts
from cnnkit.data.folders.contents import DEFAULT_SIZE, choose_fraction
from cnnkit.data.folders.folder_images import PARTS, FolderImages, LabeledImage
from cnnkit.data.image_statistics import compute_channel_statistics
from cnnkit.data.splits import hash_indices, refuse_several_labels, thin_classes
from cnnkit.data.store import Store
from cnnkit.data.tables.array_checks import (
    check_groups,
    check_indices,
    find_classes,
    join_labels,
    to_labels,
    to_pixels,
)
from cnnkit.data.tables.held import hold
from cnnkit.data.tables.labels import JOINT, hot_labels
from cnnkit.errors import UserError
from cnnkit.notices import say

_CHUNK = 4096  # images whose pixels are counted at a time


def from_arrays(
    images: ArrayLike,
    labels: ArrayLike,
    test_images: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    *,
    test_indices: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    val_size: int | float = DEFAULT_SIZE,
    test_size: int | float = DEFAULT_SIZE,
    split_seed: int = 0,
    train_fraction: float = 1.0,
    folds: int | None = None,
    fold: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> "ArrayImages":
    """Make a data module of images in memory.

    Equal images share a part, and so do the images of a group. Parts that are not given are drawn from the content of
    the images, so their order does not matter.

    Args:
        images: uint8 (N, H, W) or (N, H, W, C).
        labels: (N,), integers or names; or 0 and 1 (N, K), for several labels an image.
        test_images: uint8 (M, H, W) or (M, H, W, C), to test on.
        test_labels: their labels.
        test_indices: instead of these, which of the N images to test on.
        groups: (N,), names or numbers of groups, such as patients.
        class_names: of the integers from 0, or of the K columns; none given: the labels that occur.
        val_size: number (5) or fraction (0.1) of all images to validate on.
        test_size: the same for test images; ignored if these are given.
        split_seed: names the split.
        train_fraction: fraction of the remaining training images to train on.
        folds: divide the images that are not for test into stratified folds; one validates in place of ``val_size``.
        fold: the fold that validates, from 0.
        mean: of the pixels in [0, 1], one number a channel; none given: that of the images to train and validate on.
        std: the same for the standard deviation.
        **options: as for ImageDataModule: ``batch_size``, ``augment``, ``seed`` and so on.

    Raises:
        UserError: shapes, types or labels do not fit.

    Example:
        >>> images = np.arange(100, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
        >>> data = from_arrays(images, np.arange(100) % 2, val_size=10, test_size=10, batch_size=10)
        >>> data.setup()
        >>> len(data.train_indices), len(data.val_indices), len(data.store.test_labels)
        (80, 10, 10)
    """
    if options.get("mirror") is not None:
        raise UserError("mirror is a folder of files, and arrays are in none: leave it out")
    pixels, targets = to_pixels(images, "images"), to_labels(labels, len(np.asarray(images)), "labels")
    parts = np.zeros(len(pixels), dtype=np.int64)
    if (test_images is None) is not (test_labels is None):
        raise UserError("test_images and test_labels belong together: give both, or none")
    if test_images is not None:
        if test_indices is not None:
            raise UserError("test_images and test_indices are two ways to say the same: give one")
        more = to_pixels(test_images, "test_images")
        if more.shape[1:] != pixels.shape[1:]:
            raise UserError(
                f"test_images are {tuple(more.shape[1:])} each, images {tuple(pixels.shape[1:])}: make them equal"
            )
        targets = join_labels(targets, to_labels(test_labels, len(more), "test_labels"))
        parts = np.concatenate([parts, np.full(len(more), 2)])
        pixels = torch.cat([pixels, more])
    elif test_indices is not None:
        parts[check_indices(test_indices, len(pixels))] = 2
    named = None if groups is None else check_groups(groups, parts)
    sets, names = find_classes(targets, class_names)
    found = _describe_images(pixels, sets, names, parts, named, multilabel=targets.ndim == 2)
    check_training_part(folds, fold)
    settings = SplitSettings(val_size, test_size, split_seed, train_fraction, folds, fold)
    data = ArrayImages(pixels, found, names, settings, mean, std, folds=folds, fold=fold, **options)
    facts = [names, hash_indices(data.train_indices, data.val_indices), parts.nonzero()[0].tolist()]
    return hold(data, facts, {**asdict(settings), "mean": mean, "std": std, **options})


class ArrayImages(ImageDataModule):
    """Images in memory with their labels; `from_arrays` makes it.

    Args:
        pixels: uint8 (N, C, H, W).
        found: one for each of them, with its place in ``pixels`` as its file, in the parts that are given.
        class_names: in the order of the labels.
        settings: of the split.
        mean: one number a channel; None: that of the images to train and validate on.
        std: the same.
        **options: as for ImageDataModule.
    """

    def __init__(
        self,
        pixels: Tensor,
        found: FolderImages,
        class_names: tuple[str, ...],
        settings: SplitSettings,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        **options: Any,
    ) -> None:
        self._class_names, self._settings = class_names, settings
        self.multilabel = found.label_sets is not None
        content = hashlib.sha256(repr([image[1:] for image in found.images]).encode()).hexdigest()[:16]
        names = found.label_names or class_names
        self.assigned = assign_parts(found, settings, None, names, None)
        for notice in self.assigned.notices:
            say(f"arrays: {notice}")
        self._arrays = _make_store(pixels, self.assigned, class_names, content)
        train, val = self.assigned.parts["train"], self.assigned.parts["val"]
        used = torch.tensor(choose_fraction(train, settings), dtype=torch.bool)
        self.in_channels, self.num_classes = pixels.shape[1], len(class_names)
        height, width = pixels.shape[2:]
        self.image_size = height if height == width else (height, width)
        images, count = self._arrays.train_images, len(self._arrays.train_labels)
        chunks = (images.index_select(0, at) for at in torch.split(torch.arange(count), _CHUNK))
        means, stds = ([], []) if mean and std else compute_channel_statistics(chunks)
        self.mean, self.std = tuple(mean or means), tuple(std or [max(each, 1 / 255) for each in stds])
        if not len(self.mean) == len(self.std) == self.in_channels:
            raise UserError(f"mean {self.mean} and std {self.std} need {self.in_channels} numbers each, one a channel")
        super().__init__(
            val_size=len(val),
            train_fraction=settings.train_fraction,
            split_seed=settings.split_seed,
            **{"batch_size": 128, **options},
        )
        self.train_indices = used.nonzero().flatten()
        refuse_several_labels(self, self._arrays.train_labels)
        if self.imbalance_ratio is not None:
            self.train_indices = thin_classes(
                self._arrays.train_labels, self.train_indices, self.imbalance_ratio, self.num_classes, self.split_seed
            )
        self.val_indices = torch.arange(len(train), count)
        asked, there_are = options.get("batch_size"), len(self.train_indices)
        if asked is not None and asked > there_are:
            say(
                f"arrays: batch_size is {asked}, but there are {there_are} images to train on: a step takes all of them"
            )
        self.batch_size = self._batch_size  # not more than there are images

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their labels."""
        return self._class_names

    def open(self) -> Store:
        return self._arrays

    def setup(self, stage: str | None = None) -> None:
        """Nothing is left to do: the images are in memory, and their parts are known."""
        self.store = self._arrays

    def describe(self) -> dict[str, Any]:
        """Add the settings of the split and the number of equal images."""
        facts = {"copies": self.assigned.copies, "left_out": self.assigned.left_out, "multilabel": self.multilabel}
        return {**super().describe(), **asdict(self._settings), **facts}


def _make_store(pixels: Tensor, assigned: FolderImages, class_names: tuple[str, ...], fingerprint: str) -> Store:
    """Gather the images of the parts: those to train on, then those to validate on; and those to test on."""
    train, val, test = (assigned.parts[part] for part in PARTS)
    learned, tested = (torch.tensor([int(i.file.name) for i in some]).long() for some in ([*train, *val], test))
    labels = torch.tensor([image.label for image in (*train, *val, *test)], dtype=torch.int64)
    if assigned.label_sets is not None:
        labels = hot_labels(assigned.label_sets, len(class_names))[labels]
    return Store(
        name="arrays",
        train_images=pixels[learned],
        train_labels=labels[: len(learned)],
        test_images=pixels[tested],
        test_labels=labels[len(learned) :],
        class_names=class_names,
        fingerprint=fingerprint,
        provenance={},
    )


def _describe_images(
    pixels: Tensor,
    sets: list[tuple[int, ...]],
    names: tuple[str, ...],
    parts: NDArray[np.int64],
    groups: list[str] | None,
    multilabel: bool,
) -> FolderImages:
    found = FolderImages(Path(), {"train": []} if not parts.any() else {"train": [], "test": []})
    distinct = sorted(set(sets))
    numbers = {labels: k for k, labels in enumerate(distinct)}
    if multilabel:
        found.label_sets, found.classes = distinct, names
        found.label_names = tuple(JOINT.join(names[k] for k in labels) for labels in distinct)
    for i, (image, labels, part) in enumerate(zip(pixels.numpy(), sets, parts, strict=True)):
        content = hashlib.sha256(image.tobytes()).hexdigest()[:16]
        label = numbers[labels] if multilabel else labels[0]
        found.parts[PARTS[part]].append(LabeledImage(Path(str(i)), label, content, groups[i] if groups else ""))
    return found
