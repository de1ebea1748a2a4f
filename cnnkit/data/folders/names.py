"""Names of folders: the part of the data that they mean, those that are no classes, and class names as valid text."""

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
# Folders that hold the classes, or images whose classes are listed elsewhere.
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
    """Return the part of the data that a folder's name means: train, val, test or unlabeled; None if it means none.

    >>> [recognize_part(name) for name in ("Train", "seg_test", "training_set", "Final_Training", "test1", "strain")]
    ['train', 'test', 'train', 'train', 'test', None]
    """
    words = [word for word in re.split(r"[^a-z]+", name.casefold()) if word and word not in _WORDS_BESIDE]
    return _PART_OF.get(words[0]) if len(words) == 1 else None


def mend_name(name: str) -> str:
    """Return a file name as valid text, composed (NFC); bytes that are not UTF-8 are read as Latin-1 or DOS's cp437.

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
    """Map each name to the class of that name, or else to the only one that differs in case alone; else to None."""
    known = list(classes)
    matches: dict[str, str | None] = {}
    for name in names:
        alike = [each for each in known if _fold_case(each) == _fold_case(name)]
        matches[name] = name if name in known else alike[0] if len(alike) == 1 else None
    return matches


def _fold_case(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def guess_classes(files: Iterable[Path]) -> list[str]:
    """Guess classes from numbered file names, such as cat and dog from cat.0.jpg and dog.1.jpg; else return []."""
    matches = [re.fullmatch(r"(.*?[^\W\d_])[\W_]*\d+", file.stem) for file in files]
    words = sorted({match[1] for match in matches if match})
    return words if 2 <= len(words) <= 1000 and all(matches) else []
