"""What was asked for: the words of the command line and the YAML files, checked before anything is built."""

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from cnnkit import runs
from cnnkit.cards import card_names, find_config
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.yaml_files import read_mapping

# What the data says to the net: the net's argument and the data module's attribute. A net may take only some of them.
LINKED = {
    "in_channels": "in_channels",
    "num_classes": "num_classes",
    "image_size": "image_size",
    "image_mean": "mean",
    "image_std": "std",
}


@dataclass
class Request:
    """A command and its arguments in the order in which Lightning's CLI must see them."""

    command: str
    given: list[str]
    args: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    run: RunFolder | None = None
    words: list[str] = field(default_factory=list)  # what is left without the files and the run


def read_request(command: str, given: list[str]) -> Request:
    """Sort the arguments: files first, so that the command line wins over them wherever it stands.

    Raises:
        UserError: for a missing or broken file, or a run that is not there.
    """
    request = Request(command, given)
    files, rest, words = request.files, [], iter(given)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in ("--config", "-c", "--run", "--resume"):
            value = value if equals else next(words, "")
            if not value or value.startswith("--"):
                what = "file" if flag in ("--config", "-c") else "run folder"
                raise UserError(f"{flag}: nothing is named after it; give a {what}")
            if flag in ("--run", "--resume"):
                _take_run(request, flag, value)
            else:
                refuse_unquoted([value, *given[given.index(value) + 1 :]] if value in given else [value])
                files.append(str(find_config(value)))
        else:
            rest.append(word)
    if request.run is not None:
        files.insert(0, str(request.run.config))
    for file in files:
        read_config(Path(file))
    request.words = rest
    request.args = [word for file in files for word in ("--config", file)] + rest
    return request


def _take_run(request: Request, flag: str, value: str) -> None:
    if (flag == "--resume") != (request.command == "fit"):
        raise UserError(
            f"{flag} is not for {request.command}: use {'--resume' if request.command == 'fit' else '--run'}"
        )
    choose = runs.choose_resumable if flag == "--resume" else runs.choose_finished
    request.run = choose(value)


def refuse_unquoted(words: Sequence[str]) -> None:
    """Recognize a file's name with spaces that a shell has taken apart.

    Raises:
        UserError: the first word is no file, and with some of those after it is one.
    """
    for end in range(2, min(len(words), 8) + 1) if words and not Path(words[0]).exists() else ():
        if Path(name := " ".join(words[:end])).is_file():
            raise UserError(f"{words[0]}: no such file; a name with spaces needs quotes: --config {shlex.quote(name)}")


def config_name(args: list[str]) -> str:
    """The run's name where none is given: that of the last configuration file, as far as a folder can have it."""
    files = [value for flag, value in pairwise(args) if flag == "--config"]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", Path(files[-1]).stem).lstrip(".")[:64] or "run" if files else "run"


def read_config(file: Path) -> dict[str, Any]:
    """The mapping in a configuration file; see `cnnkit.yaml_files.read_mapping`.

    Raises:
        UserError: also if it is missing, with what may have been meant.
    """
    if not file.exists():
        raise UserError(f"{file}: no such configuration file{_near(file)}")
    return read_mapping(file)


def _near(file: Path) -> str:
    there = {str(p): p for folder in (file.parent, Path("configs")) for p in sorted(folder.glob("*.yaml"))}
    there |= {name: Path(f"{name}.yaml") for name in card_names()}
    close = difflib.get_close_matches(str(file), there, 1, 0.5)
    if not close:
        close = [path for path, p in there.items() if difflib.SequenceMatcher(None, p.name, file.name).ratio() > 0.6]
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(list(there)[:5])}" if there else ""
