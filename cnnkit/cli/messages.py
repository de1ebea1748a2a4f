"""Errors as people need them: what, why, what to do, in at most three lines.

jsonargparse reports a mistake as a tree of everything it tried. The walk below follows the tree to the branch that
says something, and adds what a person would look up next: the file and line, the closest known name.
"""

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException

from cnnkit.callbacks import Diverged
from cnnkit.errors import UserError

NOISE = re.compile(
    r"^(Does not validate against|Subtypes:|Errors?:|Given value|Expected a <class 'NoneType'>|Expected a path but"
    r"|Import path .* does not correspond to a subclass|$)"
)
KEY = re.compile(r'Parser key "([^"]+)":?\s*')
CALLABLE = re.compile(r"Type typing\.Callable.* callable class: ")
CLASS = re.compile(r"Problem with given class_path '([^']+)':?\s*")
GIVEN = re.compile(r"(?:Given value|Got value): (?!NestedArg|Namespace|\{)(.+?)\.?(?: Got value: .*)?$")


def explain(error: BaseException, files: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Exit code and at most three lines for an exception.

    Args:
        error: what was raised.
        files: the configuration files in use, to say where a key stands.
    """
    text = str(error)
    if isinstance(error, UserError):
        return 2, f"error: {text}".splitlines()[:3]
    if isinstance(error, Diverged):
        return 1, [f"error: {text}"]
    if isinstance(error, ArgumentError) or "Does not validate against" in text:
        return 2, [f"error: {_parsing(text, files)}"]
    if "gpu backend" in text or "can not run on your system" in text:
        return 2, ["error: trainer.accelerator asks for a device that this machine has not; leave it out, or give cpu"]
    if isinstance(error, MisconfigurationException) or text.startswith("You selected an invalid"):
        return 2, [f"error: {_first_sentences(text)}"]
    if isinstance(error, torch.OutOfMemoryError):
        return 1, ["error: the GPU's memory is full; lower data.batch_size, or set data.resident to host"]
    return 1, [f"error: {type(error).__name__}: {_first_sentences(text)}", "--debug shows where it was raised"]


def _parsing(text: str, files: Sequence[str]) -> str:
    unknown = re.search(r"does not accept option '([^']+)'", text)
    if unknown:
        return _unknown_key(unknown[1], files)
    stray = re.search(r"unrecognized arguments: (.+)", text)
    if stray:
        word = stray[1].split()[0]
        return (
            _unknown_key(word.split("=")[0].lstrip("-"), ()) if word.startswith("-") else f"{word}: what is this for?"
        )
    key, owner, leaf, value = _walk(text)
    where = _where(key.rsplit(".", 1)[-1], files)
    option = re.match(r"Option '([^']+)' is not accepted", leaf)
    if option:
        name = owner.rsplit(".", 1)[-1]
        return (
            f"{_where(option[1], files)}{_join(key, option[1])}: {name} has no such argument"
            f"{_suggest(option[1].split('.')[0], _arguments(owner))}"
        )
    path = re.match(r"Expected a dot import path string: (.+)", leaf)
    if path:
        return f"{where}{key}: no class is called {path[1]!r}{_suggest(path[1], _class_names())}"
    ambiguous = re.match(r"Multiple subclasses with name (\S+)\. .*ambiguity: (.*)\.", leaf)
    if ambiguous:
        return f"{where}{key}: {ambiguous[1]!r} is the name of several classes; give one in full: {ambiguous[2]}"
    missing = re.match(r"No module named '([^']+)'", leaf)
    if missing:
        return f"{where}{key}: {owner or value} cannot be imported: there is no module {missing[1]!r} here or installed"
    needed = re.search(r'"?([\w.]+)"? is required|arguments? (?:is|are) required: (\S+)', leaf)
    if needed:
        return f"{where}{_join(key, needed[1] or needed[2])}: is required and was not given"
    kind = re.match(r"Expected an? (.+)", leaf)
    if kind:
        got = f", got {value!r}" if value else ""
        return f"{where}{key}: expected {_readable(kind[1])}{got}"
    return f"{where}{key}: {leaf}" if key else leaf


def _walk(text: str) -> tuple[str, str, str, str]:
    """Dotted key, class, message and value of the branch that says something."""
    keys: list[tuple[int, str]] = []
    owners: list[tuple[int, str]] = []
    found: list[tuple[str, str, str]] = []
    value, lines = "", text.splitlines()
    for line in lines:
        indent = len(line) - len(line.lstrip(" -"))
        rest = CALLABLE.sub("", line.strip(" -"))
        for stack, pattern in ((keys, KEY), (owners, CLASS)):
            while stack and stack[-1][0] >= indent and pattern.search(rest):
                stack.pop()
        while (match := KEY.search(rest) or CLASS.search(rest)) is not None:
            (keys if match.re is KEY else owners).append((indent, match[1]))
            rest = rest[match.end() :] if match.start() == 0 else rest[: match.start()] + rest[match.end() :]
            if match.start() > 0:
                rest = rest[match.start() :]
        given = GIVEN.search(line)
        value = value or (given[1] if given else "")
        leaf = re.sub(r"\.? ?Got value: .*", "", rest)
        if not NOISE.match(leaf):
            if leaf.startswith("Expected a typing.Literal") and found:
                leaf = found.pop()[2] + " or " + leaf.removeprefix("Expected a ")
            path = ".".join(k for _, k in keys)
            found.append((path, owners[-1][1] if owners else "", leaf))
    nested = re.search(r"NestedArg\(key='([^']+)'", text)
    if not found:
        return ".".join(k for _, k in keys), "", lines[0] if lines else "", value
    # The branch that got furthest down knows most; a wrong type says more than a name that is no class.
    found.sort(key=lambda f: (-f[0].count("."), "Expected a dot import path" in f[2], 0))
    key, owner, leaf = found[0]
    if nested and "." not in key:
        key = _join(key, nested[1])
    return key, owner, leaf, value


def _unknown_key(key: str, files: Sequence[str]) -> str:
    parts = key.split(".")
    if parts[0] == "trainer" and len(parts) > 1:
        hint = _suggest(parts[1], _arguments("lightning.Trainer"))
        return f"{_where(parts[1], files)}{key}: the trainer has no such argument{hint}"
    top = ("seed_everything", "trainer", "model", "data", "name", "ckpt_path", "config", "run", "resume")
    return f"{_where(parts[0], files)}{parts[0]}: unknown key{_suggest(parts[0], top)}"


def _where(key: str, files: Sequence[str]) -> str:
    """``file, line n: `` of the first configuration file that has the key, else nothing: it was typed."""
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for number, line in enumerate(lines, 1):
            if re.search(rf"(?<![\w.]){re.escape(key)}['\"]?\s*:", line.split("#")[0]):
                return f"{file}, line {number}: "
    return ""


def _suggest(word: str, known: Iterable[str]) -> str:
    known = sorted(set(known))
    close = difflib.get_close_matches(word, known, 1, 0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; it has {', '.join(known)}" if 0 < len(known) <= 12 else ""


def _arguments(path: str) -> list[str]:
    module, _, name = path.rpartition(".")
    try:
        cls: Any = getattr(import_module(module), name)
        classes = [c for c in inspect.getmro(cls) if "__init__" in vars(c)] if isinstance(cls, type) else [cls]
    except (ImportError, AttributeError, ValueError):
        return []
    names: list[str] = []
    for c in classes:  # a **kwargs hands on to the class above
        parameters = inspect.signature(c).parameters
        names += [n for n, p in parameters.items() if n != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if not any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
            break
    return names


def _class_names() -> list[str]:
    import cnnkit.data
    import cnnkit.models
    import cnnkit.optim
    import cnnkit.tasks
    import cnnkit.transforms

    ours = [n for m in (cnnkit.data, cnnkit.models, cnnkit.tasks, cnnkit.transforms) for n in m.__all__]
    torchs = [n for m in (torch.optim, torch.optim.lr_scheduler) for n, c in vars(m).items() if isinstance(c, type)]
    lightnings = import_module("lightning.pytorch.callbacks").__all__
    return [*ours, *torchs, *lightnings, "WarmupCosineLR", "TriangleLR", "EMA"]


def _readable(kind: str) -> str:
    kind = re.sub(r"<class '([\w.]+)'>", lambda m: m[1].rsplit(".", 1)[-1], kind)
    kind = re.sub(r"typing\.Literal\[([^\]]+)\]", r"\1", kind)
    choices = kind.replace("'", "").replace(" or ", ", ").split(", ")
    return ", ".join(dict.fromkeys(choices))


def _join(*keys: str) -> str:
    return ".".join(k for k in keys if k)


def _first_sentences(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) < 240 else line[:237] + "..."
