"""All images of a data module in one table, whether they are arrays or files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cnnkit.data import ImageDataModule, ImageFolder
from cnnkit.data.file_checks import check_files, map_in_threads
from cnnkit.data.folders.checked_images import list_labeled_files
from cnnkit.data.folders.folder_images import format_path
from cnnkit.data.images.decode import read_image
from cnnkit.data.images.properties import ImageProperties, read_properties
from cnnkit.data.similarity import SIDE, hash_pixels, shrink_to_gray
from cnnkit.errors import UserError

_CHUNK = 5000
_SHOWN = 96  # pixels of a file's picture


@dataclass
class ImageTable:
    """The images that can be read.

    Args:
        parts: of each image: train, val, test; or ``rest``, on which nothing is trained.
        labels: int64 (N,).
        names: its file, or its place in the official set.
        contents: int64 (N,), equal for equal images.
        gray: uint8 (N, SIDE, SIDE).
        load: pictures of some images, by place: uint8 (B, C, H, W).
        class_names: in the order of the labels.
        unreadable: part, label, name and reason of each file that cannot be read.
        properties: of each file; none for arrays.
    """

    parts: list[str]
    labels: Tensor
    names: list[str]
    contents: Tensor
    gray: Tensor
    load: Callable[[Tensor], Tensor]
    class_names: tuple[str, ...]
    unreadable: list[tuple[str, int, str, str]] = field(default_factory=list)
    properties: list[ImageProperties] = field(default_factory=list)

    def class_of(self, place: int) -> str:
        """The class of an image."""
        return str(self.class_names[int(self.labels[place])])


def build_table(data: ImageDataModule) -> ImageTable:
    """Collect the images of a data module; files are decoded once, small.

    Args:
        data: not set up, or set up with files that can all be read.

    Raises:
        UserError: the data cannot be opened, or their files are of a kind that is unknown.
    """
    if data.in_channels not in (1, 3):
        raise UserError(
            f"{type(data).__name__} has images of {data.in_channels} channels: check-data compares images of 1 or 3 "
            "channels"
        )
    if data.multilabel:
        raise UserError(f"{type(data).__name__} has several labels an image: check-data compares images of one class")
    if isinstance(data, ImageFolder):
        data.on_bad_image = "skip"
        data.setup("test")
        return _list_files(data)
    data.setup()
    assert data.store is not None
    train, test = data.store.train_images, data.store.test_images
    if not isinstance(train, Tensor) or not isinstance(test, Tensor):
        raise UserError(f"{type(data).__name__}: its images are files of an unknown layout; use ImageFolder")
    parts = ["rest"] * len(train)
    for part, places in (("train", data.train_indices), ("val", data.val_indices)):
        for place in places.tolist():
            parts[place] = part
    whole = {"train": train, "test": test}
    chunks = [chunk for images in whole.values() for chunk in torch.split(images, _CHUNK)]
    first = len(train)

    def load(places: Tensor) -> Tensor:
        return torch.stack([train[p] if p < first else test[p - first] for p in places.tolist()])

    return ImageTable(
        parts + ["test"] * len(test),
        torch.cat([data.store.train_labels, data.store.test_labels]),
        [f"{name}/{place}" for name, images in whole.items() for place in range(len(images))],
        torch.cat([hash_pixels(chunk) for chunk in chunks]),
        torch.cat([shrink_to_gray(chunk) for chunk in chunks]),
        load,
        tuple(map(str, data.class_names)),
    )


def _list_files(data: ImageFolder) -> ImageTable:
    """List all files below the folder, also those that `fit` leaves out as copies of others."""
    layout, contents, names = data.layout, data.contents, data.class_names
    assert contents is not None
    assigned = {row.path: row.part for row in contents.split.rows}
    listed = [
        (part, file, label) for part in layout.classes for file, label in list_labeled_files(layout, part, names, {})
    ]
    files = [file for _, file, _ in listed]
    checks = check_files(layout.root, files, data.max_pixels, data.data_dir / ".cnnkit" / "folders")
    paths = [format_path(file, layout.root) for file in files]
    parts = [assigned.get(path, part) for path, (part, _, _) in zip(paths, listed, strict=True)]
    good = [place for place, check in enumerate(checks) if not check.fault]
    read = [files[place] for place in good]

    def decode(file: Path) -> Tensor:
        return read_image(file, 1, (SIDE, SIDE), "squash", data.max_pixels)[0]

    def load(places: Tensor) -> Tensor:
        return torch.stack([read_image(read[p], 3, (_SHOWN, _SHOWN), "pad", data.max_pixels) for p in places.tolist()])

    gray = list(map_in_threads(decode, read, "hashing"))
    return ImageTable(
        [parts[place] for place in good],
        torch.tensor([listed[place][2] for place in good], dtype=torch.int64),
        [paths[place] for place in good],
        torch.tensor([_as_signed(checks[place].sha256) for place in good], dtype=torch.int64),
        torch.stack(gray) if gray else torch.empty(0, SIDE, SIDE, dtype=torch.uint8),
        load,
        tuple(map(str, names)),
        [
            (parts[place], listed[place][2], paths[place], str(check.fault))
            for place, check in enumerate(checks)
            if check.fault
        ],
        list(map_in_threads(read_properties, read, "reading headers")),
    )


def _as_signed(digits: str) -> int:
    word = int(digits, 16)
    return word - 2**64 if word >= 2**63 else word
