"""Parquet files: their columns, and the names of classes that Hugging Face's metadata have."""

import json
from pathlib import Path
from typing import Any, Literal

from cnnkit.errors import UserError
from cnnkit.notices import printable

Kind = Literal["text", "number", "bytes", "list", "other"]


def import_arrow() -> Any:
    """Return pyarrow, or refuse with a `UserError` that says how to get it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError("Parquet files need pyarrow: pip install 'cnnkit[parquet]'") from None
    return pyarrow


def open_parquet(file: Path) -> Any:
    """Open a Parquet file; nothing but its schema is read."""
    arrow = import_arrow()
    try:
        return arrow.parquet.ParquetFile(file)
    except (OSError, arrow.ArrowException) as error:
        raise explain_damage(file, error) from None


def explain_damage(file: Path, error: Exception) -> UserError:
    """Return the error of a file that cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{printable(file)}: cannot be read as a Parquet file ({reason}); fetch it again")


def find_kind(kind: Any) -> Kind:
    """Return what a column holds by its Arrow type; a struct with bytes counts as bytes."""
    types = import_arrow().types
    if types.is_dictionary(kind):
        return find_kind(kind.value_type)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return "bytes"
    if types.is_struct(kind):
        fields = [kind.field(i).name for i in range(kind.num_fields)]
        return "bytes" if "bytes" in fields else "other"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "list" if find_kind(kind.value_type) in ("text", "number") else "other"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    return "number" if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) else "other"


def read_class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Read the names of ClassLabel columns, alone or in lists, from Hugging Face's metadata."""
    found: dict[str, list[str]] = {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        for name, feature in features.items():
            inner = feature[0] if isinstance(feature, list) else feature
            inner = inner.get("feature", inner) if isinstance(inner.get("feature", inner), dict) else inner
            if inner.get("_type") == "ClassLabel":
                found[name] = [str(each) for each in inner["names"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return {}  # a table without them
    return found
