"""Copies a .pt2 archive so that reading it runs no code.

`torch.export.load` unpickles the example inputs, and any tensor or object whose entry says so; evaluates the sizes of
the graph as Python expressions; executes guards as Python code; imports classes of inputs; and looks names of
operations up in torch. So a copy is
read, in memory, that has only raw tensors, operations of aten that touch no file, and sizes of a few words, and whose
example inputs are made here. What `cnnkit.export.torch_file` writes has nothing else.
"""

import contextlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from cnnkit.errors import UserError
from cnnkit.export.description import KEY

_WEIGHTS, _CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
_GRAPH, _INPUTS, _EXTRA = "models/model.json", "data/sample_inputs/model.pt", f"extra/{KEY}"
_NEEDED = {_WEIGHTS, _CONSTANTS, _GRAPH, _EXTRA, "archive_format", "archive_version", "byteorder"}
_ALLOWED = re.compile(
    r"data/(weights/weight|constants/tensor)_\d+|\.data/(version|serialization_id)|"
    + "|".join(map(re.escape, (*sorted(_NEEDED), _INPUTS)))
)
_OPERATION = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(\w+)|torch\.sym_\w+|math\.\w+")
_OPERATORS = ("add", "and_", "eq", "floordiv", "ge", "gt", "le", "lt", "mod", "mul", "ne", "neg", "or_", "pow", "sub")
_REFUSED = ("from_file", "save", "set_", "set_data", "warn", "_print")  # of aten
_WORD = re.compile(r"[A-Za-z_]\w*")
_WORDS = re.compile(
    r"[su]\d+|True|False|None|positive|nonnegative|integer|Symbol|Integer|Rational|Add|Mul|Pow|Min|Max|Mod|PythonMod|"
    r"FloorDiv|CeilDiv|CleanDiv|ModularIndexing|Where|IntTrueDiv|FloatTrueDiv|ToFloat|FloorToInt|CeilToInt|Piecewise|"
    r"ExprCondPair|Eq|Ne|Lt|Le|Gt|Ge|StrictLessThan|StrictGreaterThan|LessThan|GreaterThan|Equality|Unequality|And|Or|"
    r"Not|floor|ceiling|Float|precision|PowByNatural|TruncToInt"
)
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")  # of inputs; others name modules to import
_METADATA = ("nn_module_stack", "torch_fn")  # of a node: read as words


def read_text(path: Path) -> bytes | None:
    """Read the description of a .pt2 file; None if it has none.

    Raises:
        UserError: it is no archive of torch.
    """
    members = _read(path)
    return members.get(_EXTRA)


def copy_archive(path: Path) -> io.BytesIO:
    """Copy an archive, in memory, to one that torch reads without running code.

    Raises:
        UserError: it is damaged, or has anything that `cnnkit export` does not write.
    """
    members = _read(path)
    try:
        if missing := _NEEDED - members.keys():
            raise _Foreign(f"it has no {min(missing)}")
        if unknown := [name for name in members if not _ALLOWED.fullmatch(name)]:
            raise _Foreign(f"it holds {unknown[0]}")
        for name in (_WEIGHTS, _CONSTANTS):
            _check_payload(json.loads(members[name])["config"])
        graph = json.loads(members[_GRAPH])
        if graph.get("guards_code"):
            raise _Foreign("it has guards, which are code")
        if graph["graph_module"].get("metadata") or graph["graph_module"].get("treespec_namedtuple_fields"):
            raise _Foreign("its graph names further classes")
        for part in _walk(graph):
            _check_part(part)
        members[_GRAPH] = json.dumps(graph).encode()
    except _Foreign as error:
        raise UserError(
            f"{path}: not read, for {error}, and torch might run code of the file; export it again with this version, "
            "or take ONNX or safetensors"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__} in its graph); export it again") from None
    members[_INPUTS] = _make_inputs()
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    copy.seek(0)
    return copy


class _Foreign(Exception):
    """Something that `cnnkit export` does not write; the message is the reason."""


def _read(path: Path) -> dict[str, bytes]:
    """The members of an archive by their names below its folder."""
    content = path.read_bytes()
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(content)) as archive:  # damage shows as any kind
        names = archive.namelist()
        if len({name.partition("/")[0] for name in names}) == 1 and len(set(names)) == len(names):
            return {name.partition("/")[2]: archive.read(name) for name in names}
    raise UserError(f"{path}: damaged, or no graph of torch; export it again")


def _check_payload(config: Mapping[str, Any]) -> None:
    for name, entry in config.items():
        if entry["use_pickle"] is not False or entry["tensor_meta"] is None:
            raise _Foreign(f"{name[:100]} is pickled")


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings in nested plain values."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(part)


def _check_part(part: dict[str, Any]) -> None:
    """Check a mapping of the graph: a node, a size, a signature, or anything else, which torch takes as data."""
    for spec in (part[key] for key in ("in_spec", "out_spec") if key in part):
        for container in _walk(json.loads(spec)):
            if container["type"] not in _CONTAINERS or container["context"] not in (None, "null", "[]"):
                raise _Foreign("its inputs or outputs are of other classes")
    if "expr_str" in part:
        text = part["expr_str"]
        plain = re.fullmatch(r"[\w\s(),=*+/<>'-]*", text) is not None
        if not plain or not all(_WORDS.fullmatch(word) for word in _WORD.findall(text)):
            raise _Foreign(f"it has the size {text[:100]!r}")
    if {"as_custom_obj", "as_operator", "as_graph", "as_opaque_obj"} & part.keys():
        raise _Foreign("it holds objects")
    if "target" in part and "inputs" in part:
        target = part["target"]
        found = _OPERATION.fullmatch(target)
        operator_known = found is not None and (found[1] is None or found[1] in _OPERATORS)
        if not operator_known or (target.startswith("torch.ops") and target.split(".")[3] in _REFUSED):
            raise _Foreign(f"it has the operation {target[:100]}")
        part["metadata"] = {key: value for key, value in part["metadata"].items() if key in _METADATA}


def _make_inputs() -> bytes:
    """Example inputs, which only describe the file."""
    buffer = io.BytesIO()
    torch.save(((torch.zeros(2, 1, 2, 2, dtype=torch.uint8),), {}), buffer)
    return buffer.getvalue()
