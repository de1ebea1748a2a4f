"""Merges all written values into one tree: the default classes, then the files, then the command line.

The tree holds the written values and nothing else; the defaults of the classes come in when the types are checked. So
"written" is never mistaken for "default", and what happens where one class takes another's place is decided here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from cnnkit.cli.parsing.class_change import ClassChange
from cnnkit.cli.parsing.classes import is_same_class, takes_argument
from cnnkit.cli.parsing.hints import Origin
from cnnkit.config_files.scalars import PlainScalar, plain
from cnnkit.config_files.yaml_files import read_yaml
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

# The classes where nothing is written.
DEFAULTS: dict[str, Any] = {
    "model": {
        "class_path": "cnnkit.tasks.ClassificationTask",
        "init_args": {"net": {"class_path": "cnnkit.models.CNN"}},
    },
    "data": {"class_path": "cnnkit.data.FashionMNISTSample"},
}
OWNERS = {"trainer": "lightning.Trainer"}  # keys that are the arguments of one class
_SPEC = {"class_path", "init_args", "dict_kwargs"}


class WrittenValues:
    """The values of files and command line, merged, and where each comes from.

    Args:
        origin: where values come from: files, of which the last one wins.
        typed: keys and values of the command line, which win over the files.

    Raises:
        UserError: for a group of keys that is none, and for keys beside ``class_path`` and ``init_args``.
    """

    def __init__(self, origin: Origin, typed: Sequence[tuple[str, Any]] = ()) -> None:
        self.origin = origin
        self.tree: dict[str, Any] = {}
        self._changes: dict[str, ClassChange] = {}
        for layer in (DEFAULTS, *(file.values for file in origin.files)):
            dotted = {key: value for key, value in layer.items() if "." in str(key)}
            self._merge(self.tree, {key: value for key, value in layer.items() if key not in dotted}, "", "")
            for key, value in _classes_first(list(dotted.items())):  # model.optimizer.lr: 0.1, as on the command line
                self._set(key, value)
        for key, value in _classes_first(typed):
            self._set(key, value)
        for key, default in DEFAULTS.items():
            if plain(self.tree.get(key)) is None:
                name = str(default["class_path"]).rpartition(".")[2]
                raise UserError(f"{origin.locate(key)} is null; leave it out for {name}, or give another class")
        for key in OWNERS:
            if not isinstance(group := self.tree.get(key, {}), dict):
                raise UserError(f"{key} is {group}: it is a group of keys; give those of them that you mean")
        for key, node in _walk(self.tree):
            for unknown in node.keys() - _SPEC if _is_spec(node) else ():
                key = key.replace("+", "")
                where = origin.where(f"{key}.{unknown}")
                raise UserError(f"{where}{key}: unknown key {unknown!r}{suggest(unknown, _SPEC)}")

    @property
    def notes(self) -> list[str]:
        """A line for every class change that kept or lost arguments."""
        lines = [
            change.describe(read_arguments(self.get(key)), read_arguments(_find(DEFAULTS, key)))
            for key, change in self._changes.items()
        ]
        return [line for line in lines if line]

    def get(self, key: str) -> Any:
        """Return what is written for a dotted key without ``init_args``; None if nothing is."""
        return _find(self.tree, key)

    def _set(self, key: str, value: Any) -> None:
        *above, last = [part for part in key.removesuffix(".class_path").split(".") if part != "init_args"]
        place, owner = self.tree, ""
        for part in above:
            node = _node_at(place, part)
            owner = str(node.get("class_path", "")) or OWNERS.get(part, "")
            place = node.setdefault("init_args", {}) if node.keys() & _SPEC and part != "dict_kwargs" else node
        self._put(place, last, value, ".".join(above), owner)

    def _merge(self, base: dict[str, Any], new: dict[str, Any], key: str, owner: str) -> None:
        for name, value in new.items():
            self._put(base, name, value, key, owner)

    def _put(self, place: dict[str, Any], name: str, value: Any, above: str, owner: str) -> None:
        """Set an argument; a name that ends with ``+`` appends to a list, or keeps what fits of the class before."""
        is_part = isinstance(value, str) and value.endswith((".yaml", ".yml")) and not takes_argument(owner, name, str)
        if is_part and Path(value).is_file():  # --model.net net.yaml
            value = read_yaml(Path(value))
        keep, name = name.endswith("+"), name.removesuffix("+")
        before, key = place.get(name), f"{above}.{name}" if above else name
        if keep and (isinstance(before, list) or takes_argument(owner, name, list, tuple, Sequence)):
            target = name if before is not None else f"{name}+"  # jsonargparse appends it to the default
            place[target] = [*_as_list(place.get(target)), *_as_list(deepcopy(value))]
        elif (_is_spec(before) or _is_spec(value)) and _may_name_class(before) and _may_name_class(value):
            place[name] = self._merge_class(_as_spec(before), _as_spec(value), key, keep=keep)
        elif isinstance(before, dict) and isinstance(value, dict) and not takes_argument(owner, name, dict, Mapping):
            self._merge(before, value, key, OWNERS.get(key, ""))
        else:
            place.pop(f"{name}+", None)
            place[name] = deepcopy(value)

    def _merge_class(self, before: dict[str, Any], new: dict[str, Any], key: str, *, keep: bool) -> dict[str, Any]:
        old = str(before.get("class_path", ""))
        after = str(new.get("class_path", old))
        spec = before
        if not is_same_class(old, after):
            change = ClassChange(key, old, after, before.get("init_args") or {}, keep)
            if key in self._changes:
                change.dropped = {**self._changes[key].dropped, **change.dropped}
            self._changes[key] = change
            spec = {"class_path": after, "init_args": dict(change.kept)}
        spec = {**spec, **{k: v for k, v in new.items() if k != "init_args"}}
        arguments = dict(spec.get("init_args") or {})
        self._merge(arguments, new.get("init_args") or {}, key, after)
        return {**spec, "init_args": arguments} if arguments else spec


def list_class_paths(node: Any) -> list[str]:
    """List the names of classes in a node that is one or a list of them."""
    nodes = node if isinstance(node, list) else [node]
    paths = [part.get("class_path") if isinstance(part, dict) else part for part in nodes]
    return [path for path in paths if isinstance(path, str) and not isinstance(path, PlainScalar)]


def read_arguments(node: Any) -> dict[str, Any]:
    """Read the arguments in a node of the tree."""
    if not isinstance(node, dict):
        return {}
    found = node.get("init_args") or {} if node.keys() & _SPEC else node
    return found if isinstance(found, dict) else {}


def find_classes(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping in a configuration that names a class, with its key."""
    yield from ((key, part) for key, part in _walk(node) if isinstance(part.get("class_path"), str))


def _walk(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping in a configuration, with its key."""
    if isinstance(node, list):
        for part in node:
            yield from _walk(part, key)
    if isinstance(node, dict):
        yield key, node
        for name, part in read_arguments(node).items():
            yield from _walk(part, f"{key}.{name}" if key else name)


def _find(place: Any, key: str) -> Any:
    for part in key.split("."):
        arguments = read_arguments(place[-1] if isinstance(place, list) and place else place)
        place = arguments.get(part, arguments.get(f"{part}+"))
    return place


def _classes_first(pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Put what names a class before the arguments for it, wherever it is written."""

    def depth(pair: tuple[str, Any]) -> float:
        key = pair[0]
        names_class = not key.endswith("+") and any(other.startswith(f"{key}.") for other, _ in pairs)
        return key.count(".") if names_class else math.inf

    return sorted(pairs, key=depth)


def _node_at(place: dict[str, Any], name: str) -> dict[str, Any]:
    """Find the node of an argument whose own arguments are to be set; of a list, the last one."""
    target = f"{name}+" if f"{name}+" in place else name
    below = place.get(target)
    if isinstance(below, list) and below:
        node = below[-1] = _as_spec(below[-1])
        return node
    node = place[target] = below if isinstance(below, dict) else _as_spec(below) if _may_name_class(below) else {}
    return node


def _is_spec(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & _SPEC)


def _may_name_class(value: Any) -> bool:
    return isinstance(value, (dict, str)) and not isinstance(value, PlainScalar)


def _as_spec(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value if value.keys() & _SPEC else {"init_args": value}
    return {"class_path": str(value)}


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
