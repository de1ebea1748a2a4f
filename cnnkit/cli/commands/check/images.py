"""Checks of the images, their parts and their classes."""

from collections.abc import Iterator

from torch import Tensor

from cnnkit.cli.commands.check.subject import Finding, Subject
from cnnkit.data import MNIST
from cnnkit.data.similarity import hash_pixels
from cnnkit.metric_names import MONITOR, MULTILABEL_MONITOR
from cnnkit.transforms import AlternatingFlip, RandomHorizontalFlip, RandomVerticalFlip

_FEW, _UNEQUAL = 5, 10  # training images of a class; ratio of the largest class to the smallest
_SAME = 0.5  # share of the validation images that are test images
_LETTERS = 8  # classes from which names of one character are taken for characters


def check_flips(subject: Subject) -> Iterator[Finding]:
    """Mirrored digits or letters."""
    names = [str(name) for name in subject.data.class_names]
    if not isinstance(subject.data, MNIST) and (len(names) < _LETTERS or any(len(name) != 1 for name in names)):
        return
    what = "digits" if all(name.isdigit() for name in names) else "letters"
    kinds = RandomHorizontalFlip, RandomVerticalFlip, AlternatingFlip
    flips = [each for each in subject.transforms if isinstance(each, kinds)]
    if flips:
        yield Finding(
            "data.augment", f"{type(flips[0]).__name__} mirrors {what}, which makes others of them", "remove it"
        )
    if "flip" in str(getattr(subject.task, "tta", "")):
        yield Finding("model.tta", f"is {subject.task.tta}, which averages over mirrored {what}", "set it to none")


def check_validation_classes(subject: Subject) -> Iterator[Finding]:
    """Classes of which nothing is validated."""
    counts = subject.counts["val"]
    missing = [str(name) for name, count in zip(subject.data.class_names, counts, strict=True) if not count]
    if sum(counts) and missing:
        yield Finding(
            "data.val_size",
            f"no validation image of {_list(missing)}: the choice of the best epoch does not see them",
            "give a larger one, or add images",
        )


def check_few_images(subject: Subject) -> Iterator[Finding]:
    """Classes with hardly an image to train on."""
    pairs = zip(subject.data.class_names, subject.counts["train"], strict=True)
    few = [f"{name} ({count})" for name, count in pairs if count < _FEW]
    if few:
        yield Finding(
            "data", f"fewer than {_FEW} training images of {_list(few)}", "add images, or merge or remove the class"
        )


def check_balance(subject: Subject) -> Iterator[Finding]:
    """A class that is much rarer than another."""
    counts = subject.counts["train"]
    least, most = min(counts), max(counts)
    alike: tuple[str, ...] = ("val/f1_macro", "val/acc_balanced")
    monitor = subject.config["monitor"] or MONITOR
    if subject.data.multilabel:  # `fit` takes the mean average precision in place of the accuracy then
        monitor, alike = MULTILABEL_MONITOR if monitor == MONITOR else monitor, (MULTILABEL_MONITOR,)
    if least and most > _UNEQUAL * least and monitor not in alike:
        names = [str(name) for name in subject.data.class_names]
        yield Finding(
            "monitor",
            f"{names[counts.index(most)]} has {most:,} training images, {names[counts.index(least)]}, the smallest "
            f"class, {least:,}: {monitor} says little of it",
            f"give {' or '.join(alike)}, and see docs/imbalance.md for remedies in training",
        )


def check_same_images(subject: Subject) -> Iterator[Finding]:
    """A validation part that is the test set."""
    validated, tested = _contents(subject)
    if not validated or not tested:
        return
    same = len(validated & tested) / len(validated)
    if same > _SAME:
        yield Finding(
            "data",
            f"{same:.0%} of the validation images are test images: the best epoch is chosen by the test set",
            "validate on images of the training set (data.val_size)",
        )


def _contents(subject: Subject) -> tuple[set[object], set[object]]:
    """Hashes of the validation and of the test images."""
    store, places = subject.data.store, subject.data.val_indices
    assert store is not None
    train, test = store.train_images, store.test_images
    if not isinstance(train, Tensor) or not isinstance(test, Tensor):
        parts = getattr(getattr(subject.data, "contents", None), "images", None)
        found = parts.parts if parts is not None else {}
        of_val, of_test = ({image.content for image in found.get(part, ())} for part in ("val", "test"))
        return of_val, of_test
    if train.shape[1:] != test.shape[1:]:
        return set(), set()
    return set(hash_pixels(train[places]).tolist()), set(hash_pixels(test).tolist())


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
