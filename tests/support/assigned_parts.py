"""The parts of files whose contents are given; nothing is decoded."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnkit.data.folders.assignment import SplitSettings, assign_parts
from cnnkit.data.folders.folder_images import FolderImages, LabeledImage

PARTS = ("train", "val", "test")


def content(name: object) -> str:
    return hashlib.sha256(repr(name).encode()).hexdigest()[:16]


def assign(files: Mapping[Path, tuple[int, str]], folder: Path, **kwargs: Any) -> FolderImages:
    """The parts of files, given their class and content; nothing is decoded."""
    split = SplitSettings(kwargs.get("val_size", 0.1), kwargs.get("test_size", 0.1), kwargs.get("seed", 0))
    found = [LabeledImage(file, label, what) for file, (label, what) in sorted(files.items())]
    images = FolderImages(folder / "photos", {"train": found})
    return assign_parts(images, split, folder / "splits", [f"c{k}" for k in range(100)], kwargs.get("trained"))


def sides(result: FolderImages) -> dict[str, set[str]]:
    return {part: {image.content for image in result.parts[part]} for part in PARTS}


def photos(folder: Path, **counts: int) -> dict[Path, tuple[int, str]]:
    return {
        folder / "photos" / name / f"{i}.png": (label, content((name, i)))
        for label, (name, count) in enumerate(counts.items())
        for i in range(count)
    }
