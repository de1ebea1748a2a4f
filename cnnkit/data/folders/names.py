"""What the names of folders say: the part they stand for, what is no class, and class names as valid text."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

_PARTS = {
    "train": ("train", "training", "trainset", "trainingset"),
    "val": ("val", "valid", "validation", "validate", "dev", "valset", "validationset", "devset"),
    "test": ("test", "testing", "testset", "testingset", "evaluation"),
    "unlabeled": ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled"),
}
_PART_OF = {word: part for part, words in _PARTS.items() for word in words}
_WORDS_BESIDE = {"set", "seg", "data", "dataset", "image", "images", "img", "imgs", "final", "split", "part", "folder"}
# Folders that hold the classes, or the images whose classes stand elsewhere.
CONTAINERS = frozenset(
    ("images", "image", "imgs", "img", "jpg", "jpegs", "jpegimages", "png", "photos", "pictures", "data", "dataset")
)
# Folders that public data sets have beside their images.
BESIDE_CLASSES = frozenset(
    (
        *("annotation", "annotations", "attributes", "bboxes", "docs", "label", "labels", "mask", "masks", "meta"),
        *("metadata", "parts", "segmentations", "trimaps", "xmls"),
    )
)


def recognize_part(name: str) -> str | None:
    """The part of the data that a folder's name stands for: train, val, test or unlabeled; None if it stands for none.

    >>> [recognize_part(name) for name in ("Train", "seg_test", "training_set", "Final_Training", "test1", "strain")]
    ['train', 'test', 'train', 'train', 'test', None]
    """
    words = [word for word in re.split(r"[^a-z]+", name.casefold()) if word and word not in _WORDS_BESIDE]
    return _PART_OF.get(words[0]) if len(words) == 1 else None


def mend_name(name: str) -> str:
    """A file name as valid text, composed (NFC); bytes that are not UTF-8 are taken for Latin-1, or for DOS's cp437.

    >>> mend_name("ch\\udce4t"), mend_name("ch\\udc84t")
    ('chät', 'chät')
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        # Windows writes Latin-1, in which 0x80 to 0x9f are no letters; older zip programs write cp437.
        name = raw.decode("cp437" if any(0x80 <= byte <= 0x9F for byte in raw) else "latin-1")
    return unicodedata.normalize("NFC", name)


def match_names(names: Iterable[str], classes: Iterable[str]) -> Mapping[str, str | None]:
    """For each name the class that it is, as it stands or but for case; None where there is none, or more than one."""
    known = list(classes)
    found: dict[str, str | None] = {}
    for name in names:
        alike = [each for each in known if _folded(each) == _folded(name)]
        found[name] = name if name in known else alike[0] if len(alike) == 1 else None
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def guess_classes(files: Iterable[Path]) -> list[str]:
    """The words that numbered file names begin with, such as cat and dog of cat.0.jpg; none if they say nothing."""
    words = [re.fullmatch(r"(.*?[^\W\d_])[\W_]*\d+", file.stem) for file in files]
    found = sorted({word[1] for word in words if word})
    return found if 2 <= len(found) <= 1000 and all(words) else []
