"""Checks of the arrays that `from_arrays` gets."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnkit.data.folders.folder_images import format_list
from cnnkit.data.tables.labels import is_missing
from cnnkit.errors import UserError


def to_pixels(images: Any, name: str) -> Tensor:
    """Check an array of images; return uint8 (N, C, H, W)."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or not array.size:
        raise UserError(
            f"{name} is {array.dtype} {array.shape}: give uint8 (N, H, W) or (N, H, W, C), pixels from 0 to 255"
        )
    if array.ndim == 4 and array.shape[3] > 4 and array.shape[1] <= 4:
        raise UserError(f"{name} is {array.shape}: channels come last, (N, H, W, C); use numpy.moveaxis({name}, 1, -1)")
    array = array[:, None] if array.ndim == 3 else np.moveaxis(array, 3, 1)
    return torch.from_numpy(np.array(array, order="C"))  # a copy: later changes of the user's array change nothing


def to_labels(labels: Any, count: int, name: str) -> NDArray[Any]:
    """Check labels; return int64 or text (N,), or int64 (N, K) of 0 and 1."""
    array = np.asarray(labels)
    if array.ndim not in (1, 2) or len(array) != count:
        raise UserError(f"{name} has the shape {array.shape} for {count} images: give one an image, or 0 and 1 (N, K)")
    if array.ndim == 2:
        if array.shape[1] < 2:
            raise UserError(f"{name} has one column of 0 and 1: give it as integers (N,), for two classes")
        if not np.isin(array, (0, 1)).all():
            raise UserError(f"{name} has the shape {array.shape}, and other values than 0 and 1: give these (N, K)")
        return array.astype(np.int64)
    if array.dtype.kind == "O":
        array = array.astype(str) if all(isinstance(each, str) for each in array) else array
    if array.dtype.kind not in "iuUb":
        raise UserError(f"{name} are {array.dtype}: give integers or names")
    if array.dtype.kind == "U" and (array == "").any():
        raise UserError(f"{name}: {int((array == '').sum())} are empty, the first is {int((array == '').argmax())}")
    if array.dtype.kind == "i" and (array < 0).any():
        raise UserError(f"{name}: {int((array < 0).sum())} are below 0, the first is {int((array < 0).argmax())}")
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def join_labels(labels: NDArray[Any], test_labels: NDArray[Any]) -> NDArray[Any]:
    """Join the labels of two arrays that were given in the same way."""
    if (
        labels.ndim != test_labels.ndim
        or labels.dtype.kind != test_labels.dtype.kind
        or labels.shape[1:] != test_labels.shape[1:]
    ):
        kinds = [f"{array.dtype} {array.shape}" for array in (labels, test_labels)]
        raise UserError(f"labels are {kinds[0]}, test_labels {kinds[1]}: give both in the same way")
    return np.concatenate([labels, test_labels])


def check_indices(indices: Any, count: int) -> NDArray[np.int64]:
    """Check the places of images."""
    array = np.asarray(indices)
    if array.ndim != 1 or array.dtype.kind not in "iu" or ((array < 0) | (array >= count)).any():
        raise UserError(f"test_indices are {array.dtype} {array.shape}: give integers from 0 to {count - 1}")
    return array.astype(np.int64)


def check_groups(groups: Any, parts: NDArray[np.int64]) -> list[str]:
    """Return the names of the groups; one that is in two of the given parts is refused, and so is a missing one."""
    given = np.asarray(groups).tolist()
    names = [str(group) for group in given]
    if missing := [place for place, group in enumerate(given) if is_missing(group)]:
        raise UserError(
            f"groups: {len(missing)} of {len(given)} images have none, the first is {missing[0]}: give each one"
        )
    if len(names) != len(parts):
        raise UserError(f"groups has {len(names)} entries for {len(parts)} images: give one an image, test images last")
    test = {name for name, part in zip(names, parts, strict=True) if part == 2}
    if both := sorted({name for name, part in zip(names, parts, strict=True) if part == 0} & test):
        raise UserError(f"groups: {len(both)} are in train and test: {format_list(both)}; put each into one part")
    return names


def find_classes(
    labels: NDArray[Any], class_names: Sequence[str] | None
) -> tuple[list[tuple[int, ...]], tuple[str, ...]]:
    """Return the classes of each image, and the names of the classes."""
    if twice := [name for name, count in Counter(class_names or ()).items() if count > 1]:
        raise UserError(f"class_names: {format_list(twice)} stands twice; give each class a name of its own")
    if labels.ndim == 2:
        names = tuple(class_names or map(str, range(labels.shape[1])))
        if len(names) != labels.shape[1]:
            raise UserError(
                f"class_names has {len(names)} names for {labels.shape[1]} columns of labels: give one each"
            )
        return [tuple(np.flatnonzero(row).tolist()) for row in labels], names
    values = sorted(set(labels.tolist()))
    if class_names is not None and labels.dtype.kind == "i":
        if values[-1] >= len(class_names):
            raise UserError(f"class_names has {len(class_names)} names, but there is a label {values[-1]}: name each")
        return [(int(label),) for label in labels], tuple(class_names)
    names = tuple(class_names or map(str, values))
    places = {name: k for k, name in enumerate(names)}
    if unknown := [str(value) for value in values if str(value) not in places]:
        raise UserError(f"labels: {format_list(unknown)} are not in class_names; add them")
    if len(names) < 2:
        raise UserError(f"labels: there is only the class {format_list(names)}; a classifier needs two")
    return [(places[str(label)],) for label in labels.tolist()], names
