"""Read and write YAML: strictly, and within limits, so that no file takes longer than a second.

A word without quotes becomes a `cnnkit.config_files.scalars.PlainScalar` where only the key's type decides what it is.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cnnkit.config_files.scalars import PlainScalar, read_scalar
from cnnkit.errors import UserError
from cnnkit.files import open_regular

MAX_BYTES, MAX_DEPTH, MAX_VALUES = 500_000, 50, 20_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_PLAIN = (True, False)


def read_word(text: str, key: str) -> Any:
    """Read a word of the command line: a list or mapping in flow style, else a scalar.

    Args:
        text: the word.
        key: its key, to name in an error.
    """
    text = text.strip()
    for left, right in ("“”", "‘’", "„“"):  # quotes that a text program made typographic
        if len(text) > 1 and text[0] == left and text[-1] == right:
            text = text[1:-1]
    if text[:1] not in ("[", "{", '"', "'"):
        return read_scalar(text)
    try:
        return _read(text, key)
    except UserError as error:
        if text[0] in ('"', "'"):
            return text
        if "not valid YAML" in str(error):
            raise UserError(f"{key}: {text!r} is no whole list or mapping; one with spaces needs quotes") from None
        raise UserError(str(error).replace(f"{key}, line 1:", f"{key}:", 1)) from None


class YamlFile(NamedTuple):
    """A file of keys and values, and where in it they stand."""

    path: Path
    values: dict[str, Any]
    node: yaml.Node

    def line_of(self, keys: tuple[str, ...], *, whole: bool = False) -> int | None:
        """Return the line of a nested key, counted from 1; keys between, such as ``init_args``, may be left out.

        Args:
            keys: from the outermost to the innermost.
            whole: return None if the last key is missing; by default the line of the innermost existing key.
        """
        return _find_line(self.node, keys, whole)


def read_yaml(file: Path) -> Any:
    """Read the value of a file.

    Raises:
        UserError: if it is missing, no text, too large, no YAML, or has a key twice.
    """
    return _read(read_text(file), str(file))


def read_file(file: Path) -> YamlFile:
    """Read a mapping and keep where its keys stand; see `read_yaml`."""
    node = _compose(read_text(file), str(file))
    return YamlFile(file, _as_mapping(None if node is None else _value(node, str(file)), file), node)


def _as_mapping(found: Any, file: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        what = "empty" if found is None else "not a mapping of keys to values"
        raise UserError(f"{file}: {what}; `cnnkit configs quickstart` shows what one looks like")
    return found


def read_text(file: Path) -> str:
    """Read the text of a file of at most `MAX_BYTES`, in UTF-8 or, with its mark, UTF-16."""
    try:
        with open_regular(file, "rb") as stream:
            content: bytes = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(
                f"{file}: has more than {MAX_BYTES / 1e6} MB, which no configuration has; is it the right file?"
            )
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file; give a configuration in YAML") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give a configuration file in YAML") from None


def read_dump(file: Path) -> dict[str, Any]:
    """Read the mapping in a file that a program has written, such as config.yaml: YAML's own values, within limits.

    Raises:
        UserError: as `read_file`.
    """
    text = read_text(file)
    _read(text, str(file))
    try:
        found = yaml.load(text, _LOADER)
    except ValueError as error:  # a number of thousands of digits, a 13th month
        raise UserError(f"{file}: not valid YAML ({error})") from None
    return _as_mapping(found, file)


class _Dumper(yaml.SafeDumper):
    """YAML's safe dumper, which quotes text that another reader, or YAML 1.2, takes for a number."""

    def represent_scalar(self, tag: str, value: str, style: str | None = None) -> yaml.ScalarNode:
        is_text = tag.endswith(":str") and isinstance(read_scalar(value), PlainScalar)
        return super().represent_scalar(tag, value, "'" if is_text else style)


def dump_yaml(value: Any) -> str:
    """Format plain values as YAML that every reader reads as the same values."""
    dumped: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return dumped


def _find_line(node: yaml.Node | None, keys: tuple[str, ...], whole: bool) -> int | None:
    if isinstance(node, yaml.SequenceNode):
        return next((line for part in node.value if (line := _find_line(part, keys, whole)) is not None), None)
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if str(key.value).rstrip("+") == keys[0]:
            deeper = _find_line(value, keys[1:], whole) if len(keys) > 1 else None
            return deeper if whole and len(keys) > 1 else int(deeper or key.start_mark.line + 1)
        if key.value == "init_args" and (found := _find_line(value, keys, whole)) is not None:
            return found
    return None


def _read(text: str, name: str) -> Any:
    node = _compose(text, name)
    return None if node is None else _value(node, name)


def _compose(text: str, name: str) -> Any:
    try:
        _check_limits(text, name)
        node = yaml.compose(text, _LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        remedy = "; indent with spaces, not tabs" if line and line[0].lstrip(" ").startswith("\t") else ""
        reason = getattr(error, "problem", None) or " ".join(str(error).split())[:100]
        raise UserError(f"{_at(name, mark)}: not valid YAML ({reason}){remedy}") from None
    if node is not None:
        _count(node, name, {})
    return node


def _at(name: str, mark: Any) -> str:
    return f"{name}, line {mark.line + 1}" if mark is not None else name


def _check_limits(text: str, name: str) -> None:
    """Check the depth and the number of values of a text."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, _LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(f"{_at(name, event.start_mark)}: nested more than {MAX_DEPTH} deep")
        if number > 2 * MAX_VALUES:
            raise UserError(f"{_at(name, event.start_mark)}: has more than {MAX_VALUES:,} values")


def _count(node: yaml.Node, name: str, known: dict[int, int | None]) -> int:
    """The values in a node with all aliases followed."""
    if id(node) not in known:
        known[id(node)] = None  # being counted
        total = 1
        for part in _parts(node):
            total += _count(part, name, known)
            if total > MAX_VALUES:
                raise UserError(f"{_at(name, node.start_mark)}: stands for more than {MAX_VALUES:,} values")
        known[id(node)] = total
    count = known[id(node)]
    if count is None:
        raise UserError(f"{_at(name, node.start_mark)}: contains itself")
    return count


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _value(node: yaml.Node, name: str) -> Any:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(node, name)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_value(part, name) for part in node.value]
    if isinstance(node, yaml.ScalarNode) and kind in ("str", "int", "float", "bool", "null", "timestamp"):
        text = str(node.value)
        tagged = kind == "str" and _RESOLVER.resolve(yaml.ScalarNode, text, _PLAIN) != node.tag  # as in !!str 12
        return text if tagged or node.style not in (None, "") else read_scalar(text)
    raise UserError(f"{_at(name, node.start_mark)}: not valid YAML (the tag {node.tag} is not taken)")


def _mapping(node: yaml.MappingNode, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, part in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{_at(name, key.start_mark)}: a key must be a word")
        if key.tag.endswith(":merge"):
            for mapping in part.value if isinstance(part, yaml.SequenceNode) else [part]:
                if not isinstance(mapping, yaml.MappingNode):
                    raise UserError(f"{_at(name, key.start_mark)}: << takes a mapping, or a list of them")
                merged = {**_mapping(mapping, name), **merged}
        elif key.value in found:
            raise UserError(f"{_at(name, key.start_mark)}: {key.value!r} stands twice; keep one of them")
        else:
            found[str(key.value)] = _value(part, name)
    return {**merged, **found}
