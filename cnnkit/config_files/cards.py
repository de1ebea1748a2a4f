"""The run cards that come with cnnkit: one YAML file each, found by name from any folder. Standard library only."""

import re
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Card:
    """A configuration with its measured result.

    Args:
        name: what ``--config`` takes.
        file: the YAML file.
        about: the net and its data, in one phrase.
        result: the measured accuracy and the number of runs behind it; empty if the head states none.
    """

    name: str
    file: Path
    about: str
    result: str


def cards_folder() -> Path:
    """The folder of the cards: the repository's configs/, or the copy that a wheel installs."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def card_names() -> list[str]:
    """The names of all cards, sorted."""
    return sorted(file.stem for file in cards_folder().glob("*.yaml"))


def find_config(name: str) -> Path:
    """Return the configuration file that a name or path stands for.

    A file in the working folder comes first, with or without ``.yaml``, then a card. A path is returned as it is, also
    if there is no such file.
    """
    path = Path(name)
    if path.is_file() or len(path.parts) != 1:
        return path
    candidates = (Path(f"{path}.yaml"), cards_folder() / f"{path}.yaml")
    return next((file for file in candidates if file.is_file()), path)


def name_config(file: Path) -> str:
    """Return the shortest word by which `find_config` finds a file: a card's name, else its path."""
    return file.stem if file.parent == cards_folder() and find_config(file.stem) == file else str(file)


def read_card(name: str) -> Card:
    """Read the head of a card, the comment that it starts with."""
    file = cards_folder() / f"{name}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    head = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    first = re.split(r"[.:] ", re.sub(r" \([^)]*\)", "", head))[0]
    result = re.search(r"Measured[^:]*: (.*?\))", head)
    return Card(name, file, first, result[1] if result else "")
