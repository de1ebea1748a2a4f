"""Finds the value that jsonargparse has refused, and says what is wrong with it.

jsonargparse reports a mistake as a text about all that it tried. Here the values are looked at once more, one by one,
by the same types; so the sentence is made of the key, the value and the type, not of another sentence.
"""

import builtins
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from cnnkit.cli.errors.exceptions import find_fault
from cnnkit.cli.parsing.classes import (
    LISTS,
    Argument,
    list_arguments,
    list_bases,
    list_choices,
    list_item_types,
    list_members,
    list_parameters,
    resolve_class,
    shorten_path,
    takes,
)
from cnnkit.cli.parsing.hints import list_class_names, suggest_key
from cnnkit.cli.parsing.parser import LINKED
from cnnkit.cli.parsing.typed import PASSED, SPEC, type_values
from cnnkit.cli.parsing.written import WrittenValues
from cnnkit.config_files.scalars import PlainScalar, as_word, plain
from cnnkit.errors import UserError
from cnnkit.optim import find_length_default
from cnnkit.suggest import closest, suggest

_PASSED = {*LINKED, *PASSED}
_TOP = (
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
_MISSING = ": is required and was not given"
Problem = tuple[str, str]  # a key and what is wrong with it


def refuse(written: WrittenValues, arguments: Mapping[str, Argument], error: BaseException) -> NoReturn:
    """Explain an error of jsonargparse by the written values; `arguments` are the keys at the top.

    Raises:
        UserError: with the first key that is wrong, and with file and line if it stands in a file.
    """
    problems = list(_check_arguments(written.tree, arguments, "", None))
    if problems:  # what is missing may be what another key was meant to be
        key, reason = next((p for p in problems if not p[1].startswith(_MISSING)), problems[0])
        above, _, name = key.rpartition(".")
        if name.isdigit() and isinstance(written.get(above), list):
            reason = (
                f": items of a list have no numbers; --{above}.KEY VALUE changes the last one, a whole list or a file"
            )
            reason += " the others"
        raise UserError(f"{written.origin.locate(key)}{reason}") from error
    if not isinstance(error, ArgumentError):
        raise error
    text = " ".join(str(error).split())
    raise UserError(text if len(text) < 240 else f"{text[:237]}...") from error


def _check_arguments(
    values: Mapping[str, Any], arguments: Mapping[str, Argument], above: str, owner: Any
) -> Iterator[Problem]:
    for written, value in values.items():
        name = written.removesuffix("+")
        key = f"{above}.{name}" if above else name
        if name in arguments and not (name in PASSED and name == next(iter(arguments))):
            yield from _check_value(value, arguments[name].type, key, arguments[name].parameter.default)
        else:
            yield key, _describe_unknown(key, above, name, owner) if above else _describe_unknown_top(name, value)
    left_open = {*_PASSED, *find_length_default(owner)} if above else arguments
    for name, argument in arguments.items():
        key = f"{above}.{name}" if above else name
        if argument.is_required and name not in values and name not in left_open:
            yield key, f"{_MISSING}; add --{key} VALUE"
        elif argument.is_required and name in values and values[name] is None:
            yield key, " is null; give a value" + " or leave it out" * (name in left_open)


def _check_value(value: Any, kind: Any, key: str, default: Any) -> Iterator[Problem]:
    bases = list_bases(kind)
    if isinstance(value, list) and takes(kind, *LISTS):
        for part, member in zip(value, list_item_types(kind, len(value)), strict=True):
            yield from _check_value(part, member, key, None)
    elif isinstance(value, dict) and bases:
        yield from _check_class(value, bases, key, default)
    elif isinstance(value, str) and not isinstance(value, PlainScalar) and bases and not takes(kind, str):
        yield from _check_class({"class_path": value}, bases, key, default)
    elif not _is_taken(value, kind):
        yield key, _describe_type(value, kind, bases, key)
    elif isinstance(value, str) and bases and "." in value and (fault := find_fault(value.rpartition(".")[0])):
        yield key, f": {value} cannot be imported: {fault}"


def _check_class(value: dict[str, Any], bases: tuple[type, ...], key: str, default: Any) -> Iterator[Problem]:
    spec = value if value.keys() & SPEC else {"init_args": value}
    path = spec.get("class_path")
    if path is None:
        found = default if isinstance(default, type) else bases[0]
    elif not isinstance(path, str) or isinstance(path, PlainScalar):
        yield key, _describe_type(path, None, bases, key)
        return
    else:
        found = resolve_class(path, bases)
        if reason := _describe_class(path, found, bases, key):
            yield key, reason
            return
    arguments = spec.get("init_args") or {}
    if isinstance(arguments, dict):
        yield from _check_arguments(arguments, list_arguments(found), key, found)


def _is_taken(value: Any, kind: Any) -> bool:
    """Whether jsonargparse takes a value for a type."""
    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument("--value", type=kind)
        parser.parse_object({"value": type_values(value, kind, "value")})
    except ArgumentError:
        return False
    except ValueError:  # a type that it does not check
        return True
    return True


# ---- sentences -------------------------------------------------------------------------------------------------------


def _describe_class(path: str, found: Any, bases: tuple[type, ...], key: str) -> str:
    """Explain why a name is not that of a class for a key; nothing if it is."""
    module, _, last = path.rpartition(".")
    if found is None and module == "__main__":
        return f": {last} was defined in a notebook or script; put it into a file, import it from there and train again"
    if fault := find_fault(module):
        return f": {path} cannot be imported: {fault}"
    if found is None:
        if module and (missing := _missing_module(module)):
            return f": {path} cannot be imported: there is no module {missing!r} here or installed"
        if key == "watch":
            return _describe_type(path, None, bases, key)
        if Path(f"{path.removesuffix('.py')}.py").is_file():
            return f": {path} is a file; name a class in it, such as {path.removesuffix('.py')}.MyNet"
        name = last if module.replace(".", "").isidentifier() and last.isidentifier() else path
        net = "; a net goes to model.net" if key == "model" else ""
        known = list_class_names(shorten_path(key))
        there = vars(sys.modules[module]) if module in sys.modules else {}
        kinds = [kind for kind in there.values() if isinstance(kind, type) and issubclass(kind, bases)]
        if own := [kind.__name__ for kind in kinds if kind.__module__ == module and kind.__name__ not in known]:
            return f": {module} has no class {last!r} for it{suggest(last, own)}{net}"
        return f": there is no class {name!r} for it{suggest(last, known) or _list_some(known)}{net}"
    if isinstance(found, type):
        return "" if issubclass(found, bases) else f": {path} is a class of another kind{_list_classes(key)}"
    returned = get_type_hints(found).get("return")
    if isinstance(returned, type) and issubclass(returned, bases):
        return ""
    return f": {path} is a function that does not say what it returns; write -> nn.Module after it"


def _missing_module(module: str) -> str:
    for parent in accumulate(module.split("."), "{}.{}".format):
        try:
            missing = find_spec(parent) is None
        except (ImportError, ValueError):
            missing = True
        if missing:
            return parent
    return ""


def _list_classes(key: str) -> str:
    names = list_class_names(shorten_path(key))
    return f"; there are {', '.join(names)}" if 0 < len(names) <= 12 else ""


def _list_some(names: list[str]) -> str:
    return f"; there are {', '.join(names[:4])}, ..." if names else ""


def _describe_type(value: Any, kind: Any, bases: tuple[type, ...], key: str) -> str:
    shown = str(plain(value))
    if key == "watch":
        shown = repr(shown) if isinstance(value, str) and not isinstance(value, PlainScalar) else shown
        return f": {shown} is no part of the dashboards; give null for none, or parts as {{maps: false}}"
    if bases and not isinstance(value, (list, dict)):
        example = ", such as Adam" if key.endswith("optimizer") else ""
        return f": {shown} is no name of a class{_list_classes(key) or example}"
    got = as_word(value) if isinstance(value, (list, dict)) else repr(str(value))
    names = list(dict.fromkeys(_name_types(kind)))
    words = [name for name in names if not hasattr(builtins, name)]  # not the names of types
    remedy = suggest(str(value), words, listing=False) if isinstance(value, str) else ""
    if not remedy and takes(kind, *LISTS) and isinstance(value, str):
        remedy = f"; write [{value}]"
    return f": expected {'one of ' * (len(names) > 1)}{', '.join(names)}, got {got}{remedy}"


def _name_types(kind: Any) -> Iterator[str]:
    for member in list_members(kind):
        if choices := list_choices(member):
            yield from map(str, choices)
        elif takes(member, *LISTS) and not takes(member, tuple, set):
            yield "list"
        elif member not in (type(None), Tensor):
            yield getattr(member, "__name__", str(member))


def _describe_unknown(key: str, above: str, name: str, owner: Any) -> str:
    """Describe an argument that a class does not have; perhaps another class in use does."""
    passed = PASSED if above.endswith("scheduler") else {"params"}
    own: Iterable[str] = list_parameters(owner).keys() - {"self", *passed}
    if above == "trainer":
        return f": the trainer has no such argument{suggest_key(name, exact=True) or suggest(name, own, listing=False)}"
    if not list(own) and (names := list_class_names(shorten_path(above))):  # no class was named, only their base
        close = closest(name, names, 1)
        meant = f"did you mean --{above}={close[0]}?" if close else f"name a class first, such as --{above}={names[0]}"
        return f": {owner.__name__} has no such argument; {meant}"
    hint = suggest_key(key, exact=True) or suggest(name, own, listing=False) or suggest_key(key) or suggest(name, own)
    return f": {owner.__name__} has no such argument{hint}"


def _describe_unknown_top(name: str, value: Any) -> str:
    hint = suggest_key(name, exact=True) or suggest(name, _TOP, listing=False) or suggest_key(name)
    if "--" in hint and isinstance(value, dict) and len(value) == 1 and not value.keys() & SPEC:  # --optimizer.lr
        hint = f"{hint.removesuffix('?')}.{next(iter(value))}?"
    return f": unknown key{hint or suggest(name, _TOP)}"
