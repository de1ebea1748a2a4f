"""What was asked for: the words of the command line and the YAML files, checked before anything is built."""

import difflib
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from cnnkit import run_folder
from cnnkit.errors import UserError
from cnnkit.run_folder import RunFolder

# What the data says to the net: the net's argument and the data module's attribute. A net may take only some of them.
LINKED = {
    "in_channels": "in_channels",
    "num_classes": "num_classes",
    "image_size": "image_size",
    "image_mean": "mean",
    "image_std": "std",
}
_NET_FLAG = re.compile(rf"--model\.(?:init_args\.)?net\.(?:init_args\.)?({'|'.join(LINKED)})(?:=(.*))?")


@dataclass
class Request:
    """A command and its arguments in the order in which Lightning's CLI must see them."""

    command: str
    given: list[str]
    args: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    run: RunFolder | None = None
    asked_of_net: dict[str, Any] = field(default_factory=dict)


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
                raise UserError(
                    f"{flag}: nothing is named after it; give a {'file' if flag[2] == 'c' else 'run folder'}"
                )
            if flag in ("--run", "--resume"):
                _take_run(request, flag, value)
            else:
                files.append(value)
        else:
            rest.append(word)
    if request.run is not None:
        files.insert(0, str(request.run.config))
    for file in files:
        request.asked_of_net |= _of_net(check_yaml(Path(file)))
    for word, following in pairwise([*rest, ""]):
        typed = _NET_FLAG.fullmatch(word)
        if typed:
            request.asked_of_net[typed[1]] = yaml.safe_load(typed[2] or following)
    request.args = [word for file in files for word in ("--config", file)] + rest
    return request


def _of_net(config: dict[str, Any]) -> dict[str, Any]:
    """What a file asks of the net that the data decides."""
    found: Any = config
    for key in ("model", "init_args", "net", "init_args"):
        found = found.get(key) if isinstance(found, dict) else None
    return {key: found[key] for key in LINKED if key in found} if isinstance(found, dict) else {}


def _take_run(request: Request, flag: str, value: str) -> None:
    if (flag == "--resume") != (request.command == "fit"):
        raise UserError(
            f"{flag} is not for {request.command}: use {'--resume' if request.command == 'fit' else '--run'}"
        )
    choose = run_folder.choose_resumable if flag == "--resume" else run_folder.choose_finished
    request.run = choose(value)


def config_name(args: list[str]) -> str:
    """The run's name where none is given: that of the last configuration file."""
    files = [value for flag, value in pairwise(args) if flag == "--config"]
    return Path(files[-1]).stem if files else "run"


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which lets a key stand twice and takes the last one, made to refuse it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise UserError(
                    f"{key_node.start_mark.name}, line {key_node.start_mark.line + 1}: {key!r} stands twice"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def check_yaml(file: Path) -> dict[str, Any]:
    """Read a configuration file strictly.

    Raises:
        UserError: if it is missing, no text, no YAML, empty, no mapping, or has a key twice.
    """
    try:
        with run_folder.open_regular(file) as stream:
            found = yaml.load(stream, _StrictLoader)
    except FileNotFoundError:
        raise UserError(f"{file}: no such configuration file{_near(file)}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file; give a configuration in YAML") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give a configuration file in YAML") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{file}{where}: not valid YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(found, dict):
        what = "empty" if found is None else "not a mapping of keys to values"
        raise UserError(f"{file}: {what}; configs/quickstart.yaml shows what one looks like")
    return found


def _near(file: Path) -> str:
    there = {str(p): p for folder in (file.parent, Path("configs")) for p in sorted(folder.glob("*.yaml"))}
    close = difflib.get_close_matches(str(file), there, 1, 0.5)
    if not close:
        close = [path for path, p in there.items() if difflib.SequenceMatcher(None, p.name, file.name).ratio() > 0.6]
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(list(there)[:5])}" if there else ""
