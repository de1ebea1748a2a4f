"""The user's own images: a folder a class."""

import hashlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cnnkit.data.batches import Batches
from cnnkit.data.checks import Check, check_files
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.decode import IMAGE_SUFFIXES, Resize, image_files
from cnnkit.data.files import ImageFiles, available_memory
from cnnkit.data.splits import split, stratified_order
from cnnkit.data.store import Store
from cnnkit.errors import UserError
from cnnkit.layers.conv import ImageSize, as_height_width
from cnnkit.transforms import AlternatingFlip, Mix, RandomCrop, Transform

PARTS = ("train", "val", "test")
Labelled = list[tuple[Path, int]]


class ImageFolder(ImageDataModule):
    """The user's own images: ``root/<class>/*``, or ``root/train/<class>/*`` with ``root/val`` and ``root/test``.

    The classes are the folders' names, sorted. A part that has no folder of its own is taken from the training images,
    stratified. Files are told by content (PNG, JPEG, WebP, BMP, GIF, TIFF), scaled to one size, and decoded by
    ``num_workers`` processes in the first epoch; kept in memory from then on if there is room.

    Args:
        root: the folder.
        image_size: pixels, one number or (height, width).
        channels: 3 for colour, 1 for grey.
        resize: how images come to that size: ``crop`` keeps the middle, ``squash`` changes the aspect ratio, ``pad``
            adds black.
        val_size: number (5) or share (0.1) of all images to validate on; not read where there is ``root/val``.
        test_size: the same of test images; not read where there is ``root/test``.
        on_bad_image: ``error`` stops at files that cannot be read before training starts; ``skip`` leaves them out and
            says how many.
        max_pixels: images with more than that many pixels count as unreadable, and are not decoded.
        cache: keep decoded images in memory: ``auto`` if all of them take at most half of what is free.
        mean: of the pixels in [0, 1], a number a channel; none given: that of ImageNet.
        std: the same of the standard deviation.
        batch_size: images a training step, over all ranks together.
        augment: transforms of the training images, in order; none given: crops and alternating flips; ``[]``: none.
        data_dir: folder that keeps the record of which images have been checked; none given: ``$CNNKIT_DATA_DIR``,
            else ``data``.
        train_fraction: share of the remaining training images to train on; the other parts stay the same.
        split_seed: names the split. Not the run's seed: runs with different seeds share their split.
        seed: of order and augmentation; none given: the run's ``seed_everything``.
        eval_batch_size: images a step in validation and test.
        num_workers: processes that decode; none given: one less than there are cores, at most 16.
        drop_last: leave out the incomplete last batch of a training epoch (another one each epoch).

    Raises:
        UserError: if the folder is not there, or not laid out as above.
    """

    def __init__(
        self,
        root: str,
        image_size: ImageSize = 64,
        channels: Literal[3, 1] = 3,
        resize: Resize = "crop",
        val_size: int | float = 0.1,
        test_size: int | float = 0.1,
        on_bad_image: Literal["error", "skip"] = "error",
        max_pixels: int = 64_000_000,
        cache: Literal["auto", "memory", "none"] = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        augment: Sequence[Transform | Mix] | None = None,
        data_dir: str | None = None,
        train_fraction: float = 1.0,
        split_seed: int = 0,
        seed: int | None = None,
        eval_batch_size: int = 256,
        num_workers: int | None = None,
        drop_last: bool = True,
    ) -> None:
        self.root, self.size = Path(root), as_height_width(image_size)
        self.resize, self.on_bad_image, self.max_pixels, self.cache = resize, on_bad_image, max_pixels, cache
        self.shares = {"val": val_size, "test": test_size}
        self.folders = _part_folders(self.root)
        self._class_names = _class_names(self.folders)
        self.in_channels, self.num_classes = channels, len(self._class_names)
        self.image_size = image_size if isinstance(image_size, int) else self.size
        self.mean = tuple(mean or ((0.485, 0.456, 0.406) if channels == 3 else (0.449,)))
        self.std = tuple(std or ((0.229, 0.224, 0.225) if channels == 3 else (0.226,)))
        if not len(self.mean) == len(self.std) == channels:
            raise UserError(f"mean {self.mean} and std {self.std} need {channels} numbers each, one a channel")
        self.skipped = 0
        super().__init__(
            batch_size=batch_size,
            augment=augment,
            data_dir=data_dir,
            val_size=1 if "val" in self.folders else math.ceil(val_size),  # until `setup` has counted
            train_fraction=train_fraction,
            split_seed=split_seed,
            seed=seed,
            eval_batch_size=eval_batch_size,
            num_workers=min(_cores() - 1, 16) if num_workers is None else num_workers,
            drop_last=drop_last,
        )

    def default_augment(self) -> list[Transform | Mix]:
        """Shifts of at most an eighth of the shorter side with reflected borders, and alternating flips."""
        return [RandomCrop(padding=min(self.size) // 8, mode="reflect"), AlternatingFlip()]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the class folders, sorted."""
        return self._class_names

    def prepare_data(self) -> None:
        """Check the files that are new."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """List and check the files, and split off what has no folder of its own; a second call does nothing."""
        if self.store is not None:
            return
        self.store = self.open()
        labels, own = self.store.train_labels, self.store.provenance["val_files"]
        if own:  # they come last
            self.train_indices = split(labels[:-own], 0, self.train_fraction, self.split_seed)[0]
            self.val_indices = torch.arange(len(labels) - own, len(labels))
        else:
            total = len(labels) + len(self.store.test_labels) * ("test" not in self.folders)
            count = _count("val_size", self.shares["val"], total)
            self.train_indices, self.val_indices = split(labels, count, self.train_fraction, self.split_seed)
        self.val_size = len(self.val_indices)

    def open(self) -> Store:
        """The files as if they were arrays: training images, then those of ``root/val``; and the test images."""
        self._say_what_is_unused()
        listed = {part: self._list(part, folder) for part, folder in self.folders.items()}
        files = [file for part in listed.values() for file, _ in part]
        checks = dict(
            zip(files, check_files(self.root, files, self.max_pixels, self.data_dir / ".cnnkit/folders"), strict=True)
        )
        self._refuse_or_skip(checks)
        parts = {part: [pair for pair in pairs if not checks[pair[0]].fault] for part, pairs in listed.items()}
        for label in {*range(self.num_classes)} - {label for _, label in parts["train"]}:
            raise UserError(f"{self.folders['train'] / self._class_names[label]}: none of the images can be read")
        if "test" not in parts:
            parts["train"], parts["test"] = self._split_off_test(parts["train"])
        val = parts.get("val", [])
        about = [self._class_names, self.in_channels, self.size, self.resize]
        about += [
            (file.relative_to(self.root).as_posix(), checks[file].sha256) for file in checks if not checks[file].fault
        ]
        return Store(
            name=self.root.name,
            train_images=self._images(parts["train"] + val),
            train_labels=torch.tensor([label for _, label in parts["train"] + val]),
            test_images=self._images(parts["test"]),
            test_labels=torch.tensor([label for _, label in parts["test"]], dtype=torch.int64),
            class_names=self._class_names,
            fingerprint=hashlib.sha256(repr(about).encode()).hexdigest()[:16],
            provenance={"root": str(self.root), "val_files": len(val)},
        )

    def describe(self) -> dict[str, Any]:
        """What a manifest records of the data: hashes, counts, split, and how many files were left out."""
        return {**super().describe(), "root": str(self.root), "skipped_images": self.skipped}

    def test_dataloader(self) -> Batches:
        """The test images in order, all of them."""
        if not len(self._opened().test_labels):
            raise UserError(f"{self.root}: there are no test images; add {self.root / 'test'}, or set data.test_size")
        return super().test_dataloader()

    def _batches(self, part: str, indices: Tensor, batch_size: int, **options: Any) -> Batches:
        store, ranks = self._opened(), self.trainer.world_size if self.trainer else 1
        files = [images for images in (store.train_images, store.test_images) if isinstance(images, ImageFiles)]
        room = available_memory() // 2 // ranks if self.cache == "auto" else math.inf
        if self.cache != "none" and (any(images.keeps for images in files) or sum(i.nbytes for i in files) <= room):
            for images in files:
                images.start_keeping()
        return super()._batches(part, indices, batch_size, **options)

    def _images(self, pairs: Labelled) -> ImageFiles:
        files, strict = [file for file, _ in pairs], self.on_bad_image == "error"
        return ImageFiles(files, self.in_channels, self.size, self.resize, self.max_pixels, strict)

    def _list(self, part: str, folder: Path) -> Labelled:
        """The image files of a part with their labels, class by class."""
        found: Labelled = []
        for label, name in enumerate(self._class_names):
            files = image_files(folder / name) if (folder / name).is_dir() else []
            if part == "train" and not files:
                raise UserError(f"{folder / name}: there are no images in this class; add some or remove the folder")
            found += [(file, label) for file in files]
        if not found:
            raise UserError(f"{folder}: there are no images; add some or remove the folder")
        return found

    def _refuse_or_skip(self, checks: dict[Path, Check]) -> None:
        bad = [(file, check.fault) for file, check in checks.items() if check.fault]
        self.skipped = len(bad)
        if not bad:
            return
        first = f"{bad[0][0]}: {bad[0][1]}"
        if self.on_bad_image == "error":
            others = f" (and {len(bad) - 1:,} more of {len(checks):,} images)" if len(bad) > 1 else ""
            raise UserError(f"{first}{others}; mend or remove it, or set data.on_bad_image to skip")
        self._say(f"{len(bad):,} of {len(checks):,} images left out, the first {first}")

    def _say_what_is_unused(self) -> None:
        if self.folders["train"] == self.root:
            unused = [path.name for path in sorted(self.root.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
            where = "in no class"
        else:
            unused = [path.name for path in _subfolders(self.root) if path.name not in self.folders]
            where = "beside train, val and test"
        if unused:
            self._say(f"{self.root}: not used, for being {where}: {', '.join(unused[:3])}{' ...' * (len(unused) > 3)}")

    def _say(self, line: str) -> None:
        if self.trainer is None or self.trainer.is_global_zero:
            print(f"cnnkit: {line}", file=sys.stderr)

    def _split_off_test(self, pairs: Labelled) -> tuple[Labelled, Labelled]:
        count = _count("test_size", self.shares["test"], len(pairs))
        order = stratified_order(torch.tensor([label for _, label in pairs]), self.split_seed).tolist()
        return [pairs[i] for i in sorted(order[count:])], [pairs[i] for i in sorted(order[:count])]


def _count(name: str, size: int | float, total: int) -> int:
    """A number of images from a number or a share; a share above 0 is at least one image."""
    count = size if isinstance(size, int) else max(1, round(size * total)) if size else 0
    if size < 0 or count >= total:
        raise UserError(f"{name} is {size}: of {total} images give a smaller number, or a share from 0 to below 1")
    return count


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot list the folder ({error.strerror}); name one with your images") from None


def _part_folders(root: Path) -> dict[str, Path]:
    """The folder of each part; where there is no ``train`` with classes in it, the root is the training folder."""
    if "train" in [path.name for path in _subfolders(root)] and _subfolders(root / "train"):
        return {part: root / part for part in PARTS if (root / part).is_dir()}
    return {"train": root}


def _class_names(folders: dict[str, Path]) -> tuple[str, ...]:
    train = folders["train"]
    names = tuple(path.name for path in _subfolders(train))
    if len(names) < 2:
        raise UserError(f"{train}: {len(names)} class folders; put the images of each class into a folder of its own")
    for part, folder in folders.items():
        if part != "train" and (unknown := [path for path in _subfolders(folder) if path.name not in names]):
            raise UserError(f"{unknown[0]}: there is no such class in {train}; rename or remove the folder")
    return names
