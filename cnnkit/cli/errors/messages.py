"""Errors as people need them: what, why, what to do, in at most three lines.

jsonargparse reports a mistake as a tree of everything it tried. `_walk` follows the tree to the branch that says
something; `cnnkit.cli.parsing.hints` adds what a person would look up next: the file and line, the closest known name.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException

from cnnkit.callbacks import Diverged
from cnnkit.cli.errors.lost_workers import explain_workers
from cnnkit.cli.errors.plain_words import plain_words
from cnnkit.cli.parsing.classes import parameters_of, resolve_class
from cnnkit.cli.parsing.hints import Asked, class_names, suggest_key
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

NOISE = re.compile(
    r"^(Does not validate against|Subtypes:|Errors?:|Given value|Expected a <class 'NoneType'>|Expected a path but"
    r"|Import path .* does not correspond to a subclass|Subclass types expect|a class path \(str\)|a dict with|$)"
)
KEY = re.compile(r'Parser key "([^"]+)":?\s*')
CALLABLE = re.compile(r"Type (?:typing|collections\.abc)\.Callable.* callable class: ")
CLASS = re.compile(r"Problem with given class_path '([^']+)':?\s*")
UNKNOWN_CLASS = re.compile(
    r"(?:Expected a dot import path string|Unexpected import path format): (.+)|module '[\w.]+' has no attribute '(.+)'"
)
GIVEN = re.compile(r"(?:Given value|Got value): (?!NestedArg|Namespace|\{)(.+?)\.?(?: Got value: .*)?$")
ABOVE = ("trainer", "data", "model", "model.net")  # what arguments that messages name stand below
GIVEN_CLASS = re.compile(r"Got value: Namespace\(class_path='([^']+)'")


def explain(error: BaseException, files: Sequence[str] = (), words: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Exit code and at most three lines for an exception.

    Args:
        error: what was raised.
        files: the configuration files in use, to say where a key stands.
        words: the command line, whose keys stand in no file.
    """
    text, asked = str(error), Asked(files, words)
    if isinstance(error, UserError):
        return 2, f"error: {_with_place(text, asked)}".splitlines()[:3]
    if isinstance(error, Diverged):
        return 1, [f"error: {text}"]
    if isinstance(error, ArgumentError) or "Does not validate against" in text:
        return 2, [f"error: {_parsing(text, asked)}"]
    if "gpu backend" in text or "can not run on your system" in text:
        return 2, ["error: trainer.accelerator asks for a device that this machine has not; leave it out, or give cpu"]
    if text.startswith("`devices` selected with"):
        return 2, ["error: trainer.devices: give the number of devices, such as 1; leave it out for all GPUs or 1 CPU"]
    if monitor := re.match(r"(\w+) .*conditioned on metric `?([\w/]+)`? which is not available(.*)", text):
        there = [n for n in re.findall(r"[`']([\w/-]+)[`']", monitor[3]) if n not in (monitor[1], "monitor")]
        return 2, [f"error: monitor: nothing is logged as {monitor[2]!r}{suggest(monitor[2], there)}"]
    if kind := re.match(
        r"You selected an invalid (\w+) name: `\w+='([^']+)'`\.(?: Available names are: (.*)\.)?", text
    ):
        there = ["gpu", *kind[3].split(", ")] if kind[3] else ["auto", "ddp", "fsdp"]
        return 2, [f"error: trainer.{kind[1]}: there is no {kind[2]!r}{suggest(kind[2], there)}"]
    if limit := re.search(r"You requested to check ([\d.e-]+) of the .*Try at least `?(limit_\w+)=", text):
        return 2, [f"error: trainer.{limit[2]} is {limit[1]}, less than one batch; give a whole number of batches"]
    if isinstance(error, MisconfigurationException):
        return 2, [f"error: {plain_words(error)}"]
    if lost := explain_workers(text):
        return 1, [f"error: {lost}"]
    if isinstance(error, torch.OutOfMemoryError):
        return 1, ["error: the GPU's memory is full; lower data.batch_size, or set data.resident to host"]
    return 1, [f"error: {type(error).__name__}: {_shorten(text)}", "--debug shows where it was raised"]


def _with_place(text: str, asked: Asked) -> str:
    """A sentence that begins with a key or the name of an argument that was given: with its whole key and its place."""
    named = re.match(r"([\w.]+)(?= is |: )", text)
    if named is None or Path(named[1]).exists():
        return text
    keys = [named[1]] if "." in named[1] else [named[1], *(f"{above}.{named[1]}" for above in ABOVE)]
    given = [key for key in keys if asked.gives(key)]
    return f"{asked.where(given[0])}{given[0]}{text[named.end() :]}" if len(given) == 1 else text


def _parsing(text: str, asked: Asked) -> str:
    unknown = re.search(r"does not accept option '([^']+)'", text)
    if unknown:
        return _unknown_key(unknown[1], asked)
    return _of_tree(text, asked)


def _of_tree(text: str, asked: Asked) -> str:
    key, owner, leaf, value = _walk(text)
    where, last = asked.where(key), key.rsplit(".", 1)[-1]
    if option := re.match(r"Option '([^']+)' is not accepted", leaf):
        return _unknown_argument(key, owner, option[1], asked)
    if path := UNKNOWN_CLASS.match(leaf):
        name = path[1] or path[2]
        if key == "watch":
            return (
                f"{where}watch: {name!r} is no part of the dashboards; give null for none, or parts as {{maps: false}}"
            )
        names = class_names(last)
        net = "; a net goes to model.net" if key == "model" else ""
        return f"{where}{key}: there is no class {name!r} for it{suggest(name.rsplit('.', 1)[-1], names)}{net}"
    if ambiguous := re.match(r"Multiple subclasses with name (\S+)\. .*ambiguity: (.*)\.", leaf):
        return f"{where}{key}: {ambiguous[1]!r} is the name of several classes; give one in full: {ambiguous[2]}"
    if missing := re.match(r"No module named '([^']+)'", leaf):
        return f"{where}{key}: {owner or value} cannot be imported: there is no module {missing[1]!r} here or installed"
    if needed := re.search(r'"?([\w.]+)"? is required|arguments? (?:is|are) required: ([^,\s]+)', leaf):
        missed = _join(key, needed[1] or needed[2])
        return f"{where}{missed}: is required and was not given; add --{missed} VALUE"
    if leaf.startswith("Parser key") and (
        other := re.search(r"Import path (\S+) does not correspond to a subclass", text)
    ):
        if isinstance(resolve_class(other[1]), type):
            return f"{where}{key}: {other[1]} is a class of another kind{suggest('', class_names(last))}"
        return f"{where}{key}: {other[1]} is a function that does not say what it returns; write -> nn.Module after it"
    if key == "watch" and leaf.startswith(("Expected an import path", "Not a valid subclass")):
        return f"{where}watch: {value} is no part of the dashboards; give null for none, or parts as {{maps: false}}"
    if leaf.startswith("Not a valid subclass") or leaf.startswith("Expected an import path or a subclass"):
        names = class_names(last)
        there = f"; there are {', '.join(names)}" if 0 < len(names) <= 12 else ", such as Adam" * (last == "optimizer")
        return f"{where}{key}: {value or 'this'} is no name of a class{there}"
    if kind := re.match(r"Expected an? (.+)", leaf):
        got_value = f", got {value.replace(chr(39), '') if value[0] in '[{(' else repr(value)}" if value else ""
        lists = f"; write [{value}]" if re.fullmatch(r"<class '(list|tuple|set|[\w.]*Sequence)'>", kind[1]) else ""
        return f"{where}{key}: expected {_readable(kind[1])}{got_value}{lists if value else ''}"
    return f"{where}{key}: {_shorten(leaf)}" if key else _shorten(leaf)


def _unknown_argument(key: str, owner: str, option: str, asked: Asked) -> str:
    """An argument that a class does not have; perhaps another class in use does."""
    first, _, rest = option.partition(".")
    structure = suggest(first, ("class_path", "init_args")) if rest or first == "dict_kwargs" else ""
    if "did you mean" in structure:
        return f"{asked.where(_join(key, first))}{key}: unknown key {first!r}{structure}"
    own = parameters_of(owner)
    last = key.rpartition(".")[2]
    if last in own and isinstance(kind := own[last].default, type):  # jsonargparse does not name a default class
        return _unknown_argument(key, f"{kind.__module__}.{kind.__qualname__}", option, asked)
    of_us = ("params", "optimizer") if last == "scheduler" else ("params",)  # arguments that nobody writes
    own = {name: parameter for name, parameter in own.items() if name not in of_us}
    whole = _join(key, first)
    hint = suggest_key(whole, exact=True) or suggest(first, own, listing=False) or suggest_key(whole)
    hint = hint or suggest(first, own)
    return f"{asked.where(_join(key, option))}{_join(key, option)}: {_short(owner)} has no such argument{hint}"


def _unknown_key(key: str, asked: Asked) -> str:
    first, _, rest = key.partition(".")
    if first == "trainer" and rest:
        hint = suggest_key(rest, exact=True) or suggest(rest, parameters_of("lightning.Trainer"), listing=False)
        return f"{asked.where(key)}{key}: the trainer has no such argument{hint}"
    top = (
        "seed_everything",
        "trainer",
        "model",
        "data",
        "name",
        "watch",
        "weights",
        "ckpt_path",
        "config",
        "run",
        "resume",
    )
    hint = "" if rest else suggest_key(key, exact=True)
    hint = hint or suggest(first, top, listing=False) or suggest_key(key) or suggest(first, top)
    return f"{asked.where(first)}{key if not rest else first}: unknown key{hint}"


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
            rest = rest[: match.start()] + rest[match.end() :]
        given, given_class = GIVEN.search(line), GIVEN_CLASS.search(line)
        value = value or (given[1] if given else "")
        leaf = re.sub(r"\.? ?Got value: .*", "", rest)
        if not NOISE.match(leaf):
            path = ".".join(k for _, k in keys)
            owner = given_class[1] if given_class else owners[-1][1] if owners else ""
            if leaf.startswith("Expected a") and found and _both_types(found[-1], path, leaf):
                leaf = f"{found.pop()[2]} or {re.sub('^Expected an? ', '', leaf)}"
            found.append((path, owner, leaf))
    if not found:
        return ".".join(k for _, k in keys), "", lines[0] if lines else "", value
    found.sort(key=_rank)
    key, owner, leaf = found[0]
    nested = re.search(r"NestedArg\(key='([^']+)'", text)
    if nested and "." not in key and not leaf.startswith("Option"):
        key = _join(key, nested[1])
    return key, owner, leaf, value


def _both_types(before: tuple[str, str, str], path: str, leaf: str) -> bool:
    """Whether two branches of a union refuse the same value for its type."""
    return before[0] == path and before[2].startswith("Expected a") and "import path" not in before[2] + leaf


def _rank(branch: tuple[str, str, str]) -> tuple[int, int]:
    """The branch that got furthest down knows most; a wrong type says more than a name that is no class."""
    path, _, leaf = branch
    if re.match(r"Expected a <class '(list|collections.abc.Sequence)'>", leaf):
        return -path.count("."), 2  # the value of a list may stand alone, so the other branch knows more
    return -path.count("."), int("Expected a dot import path" in leaf)


def _readable(kind: str) -> str:
    kind = re.sub(r"<class '([\w.]+)'>", lambda m: m[1].rsplit(".", 1)[-1], kind)
    kind = re.sub(r"typing\.Literal\[([^\]]+)\]", r"\1", kind).replace("Sequence", "list")
    choices = kind.replace("'", "").replace(" or ", ", ").split(", ")
    return ", ".join(dict.fromkeys(choices))


def _short(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _join(*keys: str) -> str:
    return ".".join(k for k in keys if k)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) < 240 else line[:237] + "..."
