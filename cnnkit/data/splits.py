"""Split the training images into those that train and those that validate: stratified, seeded, always the same.

The parts are decided by the integer hash of `cnnkit.transforms.Counter`, not by a library's random stream, so an
upgrade of numpy or torch never moves an image from one part to the other.
"""

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnnkit.data.arguments import check_share
from cnnkit.errors import UserError
from cnnkit.randomness import Counter

if TYPE_CHECKING:
    from cnnkit.data.datamodules import ImageDataModule

_SALT = 0x5911  # keeps the split's stream apart from every augmentation's


def order_stratified(labels: Tensor, seed: int, keys: Tensor | None = None) -> Tensor:
    """Shuffle the images so that any prefix of the order is stratified.

    Args:
        labels: int64 (N,).
        seed: names the shuffle.
        keys: (N,), numbers to sort the images of a class by; none given: a hash of seed and index.

    Returns:
        int64 (N,), image indices; the first n of them hold each class in proportion, for every n, by the method of
        Sainte-Lague.
    """
    n = len(labels)
    if keys is None:
        keys = Counter(seed, 0, torch.arange(n)).bits(_SALT)
    shuffled = keys.argsort(stable=True)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = torch.bincount(labels)
    starts = sizes.cumsum(0) - sizes
    sorted_labels = labels[by_class]
    # The j-th of n_k images of class k stands at the fraction (j + 1/2) / n_k of the order.
    place = (torch.arange(n) - starts[sorted_labels] + 0.5) / sizes[sorted_labels].double()
    return by_class[place.argsort(stable=True)]


def split(labels: Tensor, val_size: int, train_fraction: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split the official training images into those that train and those that validate.

    The validation images depend on ``val_size``, which may be 0, and ``seed`` alone. A smaller ``train_fraction``, of
    the other images, takes a nested, stratified part of them.

    Returns:
        Sorted indices int64 of the training and of the validation images; they never overlap.

    Raises:
        UserError: no image would be left to train on.
    """
    if not 0 <= val_size < len(labels):
        raise UserError(f"val_size is {val_size}, but the training set has {len(labels)} images: give less")
    order = order_stratified(labels, seed)
    validation, rest = order[:val_size], order[val_size:]
    return take_fraction(rest, train_fraction), validation.sort().values


def split_fold(
    labels: Tensor, folds: int, fold: int, train_fraction: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Split the training images for cross-validation: one fold validates, the others train.

    The folds depend on ``folds`` and ``seed`` alone. They are disjoint and cover all images; their sizes differ by at
    most one image, and so do the sizes of each class in them. ``train_fraction`` is as for `split`.

    Returns:
        Sorted indices int64 of the training and of the validation images.

    Raises:
        UserError: a class has fewer images than there are folds.
    """
    order = order_stratified(labels, seed)
    groups = assign_folds(order, labels, folds)
    return take_fraction(order[groups[order] != fold], train_fraction), (groups == fold).nonzero().flatten()


def assign_folds(order: Tensor, labels: Tensor, folds: int) -> Tensor:
    """Return the fold of each image, int64 (N,): the images of a class take turns, and so do the classes.

    Args:
        order: int64 (N,), image indices in random order.
        labels: int64 (N,).
        folds: how many there are.

    Raises:
        UserError: a class has fewer images than there are folds.
    """
    sizes = torch.bincount(labels)
    small = int(sizes[sizes > 0].min())
    if small < folds:
        raise UserError(f"folds is {folds}, but the smallest class has {small} training images: give at most {small}")
    result = torch.empty(len(labels), dtype=torch.int64)
    result[order[labels[order].argsort(stable=True)]] = torch.arange(len(labels)) % folds
    return result


def thin_classes(labels: Tensor, indices: Tensor, ratio: float, classes: int, seed: int = 0) -> Tensor:
    """Take fewer images of each further class: class k keeps n_max * ratio ** (-k / (K - 1)), rounded down.

    The long-tailed protocol of Cao et al. 2019 (arXiv 1906.07413). n_max is the size of the largest class. A larger
    ratio takes a nested part.

    Args:
        labels: int64 (N,).
        indices: int64 (M,), of the images to thin.
        ratio: largest class by smallest class.
        classes: K, at least 2.
        seed: names the draw.

    Returns:
        Sorted indices int64 of the images that are kept.

    Raises:
        UserError: a class would keep no image.
    """
    here = labels[indices]
    most = int(torch.bincount(here).max())
    keep = torch.tensor([int(most * (1 / ratio) ** (k / (classes - 1))) for k in range(classes)])
    if int(keep.min()) < 1:
        raise UserError(f"imbalance_ratio is {ratio:g}, but the largest class has {most} images: give at most {most}")
    order = order_stratified(here, seed)
    by_class = order[here[order].argsort(stable=True)]
    sizes = torch.bincount(here, minlength=classes)
    place = torch.arange(len(here)) - (sizes.cumsum(0) - sizes)[here[by_class]]
    return indices[by_class[place < keep[here[by_class]]]].sort().values


def divide(data: "ImageDataModule", labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of the images that a data module trains and validates on, as its arguments say.

    Args:
        data: the data module.
        labels: of its training images, int64 (N,), or 0 and 1 (N, K).

    Raises:
        UserError: an argument needs one class an image, and there are several labels.
    """
    refuse_several_labels(data, labels)
    if labels.ndim == 2:  # stratified by the sets of labels that occur
        labels = torch.unique(labels, dim=0, return_inverse=True)[1]
    if data.folds is None:
        train, val = split(labels, data.val_size, data.train_fraction, data.split_seed)
    else:
        train, val = split_fold(labels, data.folds, data.fold, data.train_fraction, data.split_seed)
    if data.imbalance_ratio is not None:
        train = thin_classes(labels, train, data.imbalance_ratio, data.num_classes, data.split_seed)
    return train, val


def refuse_several_labels(data: "ImageDataModule", labels: Tensor) -> None:
    """Refuse arguments that need one class an image with a `UserError` if the labels are (N, K)."""
    given: dict[str, object] = {"folds": data.folds, "imbalance_ratio": data.imbalance_ratio}
    given["sampling"] = data.sampling if data.sampling != "shuffle" else None
    for name, value in given.items() if labels.ndim == 2 else ():
        if value is not None:
            raise UserError(f"{name} is {value}, but images have several labels: it needs one class an image")


def take_fraction(order: Tensor, train_fraction: float) -> Tensor:
    """Take the first images of a stratified order, int64 (N,), to train on; return their indices, sorted.

    Raises:
        UserError: the fraction is not in (0, 1], or leaves no image.
    """
    check_share(train_fraction=train_fraction)
    keep = round(train_fraction * len(order))
    if keep < 1:
        raise UserError(f"train_fraction {train_fraction} of {len(order)} images leaves none: give a larger share")
    return order[:keep].sort().values


def hash_indices(*indices: Tensor) -> str:
    """Identify a split by sixteen hex digits of a SHA-256 over the indices of each part."""
    digest = hashlib.sha256()
    for part in indices:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part.to(torch.int64).cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]
