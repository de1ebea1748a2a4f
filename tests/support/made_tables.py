"""Tables of small images: CSV files with paths, Parquet files with bytes as the Hub has them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def draw_png(seed: int, size: tuple[int, int] = (9, 8)) -> bytes:
    """A PNG of noise; another seed gives another content."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write_images(folder: Path, count: int, first: int = 0) -> list[str]:
    """Files 0.png, 1.png and so on; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i}.png").write_bytes(draw_png(first + i))
    return [f"{i}.png" for i in range(count)]


def write_csv(file: Path, columns: Mapping[str, Sequence[object]], delimiter: str = ",") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


def write_hub_parquet(
    file: Path, images: Sequence[Mapping[str, Any]], labels: Sequence[Any], names: Sequence[str] = (), **more: Any
) -> Path:
    """As Hugging Face's datasets write: a struct of bytes and path, ClassLabel names in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(list(images), kind), "label": pa.array(labels), **more}
    table = pa.table(columns)
    if names:
        label: dict[str, Any] = {"names": list(names), "_type": "ClassLabel"}
        if pa.types.is_list(table.schema.field("label").type):
            label = {"feature": label, "_type": "Sequence"}
        info = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=5)
    return file
