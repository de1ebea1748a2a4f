"""The page on augmentation names every transform with its defaults, and every preset with its transforms."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from cnnkit import transforms
from cnnkit.transforms import Mix, Transform
from cnnkit.transforms.presets import PRESETS

PAGE = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text(encoding="utf-8")
CLASSES = [
    value
    for value in vars(transforms).values()
    if inspect.isclass(value) and issubclass(value, (Transform, Mix)) and value not in (Transform, Mix)
]


def rows_below(heading: str) -> list[list[str]]:
    table = re.search(rf"^## {heading}\n.*?^\|---[^\n]*\n(.*?)^(?!\|)", PAGE, re.MULTILINE | re.DOTALL)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


@pytest.mark.parametrize("kind", CLASSES)
def test_the_table_has_the_arguments_and_their_defaults(kind: type) -> None:
    (row,) = (cells for cells in rows_below("Transforms") if f"`{kind.__name__}`" in cells[0])
    written: dict[str, Any] = eval(f"dict({row[1].strip('`')})")
    parameters = inspect.signature(kind).parameters if kind.__init__ is not Transform.__init__ else {}
    assert written == {name: each.default for name, each in parameters.items()}


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_has_the_transforms_of_each_preset(name: str) -> None:
    (row,) = (cells for cells in rows_below("Presets") if cells[0] == f"`{name}`")
    for (kind, arguments), text in zip(PRESETS[name], re.findall(r"`(\w+)(?:\((.*?)\))?`", row[1]), strict=True):
        assert text[0] == kind.__name__
        signature = inspect.signature(kind)
        written = signature.bind(**eval(f"dict({text[1]})"))
        built = signature.bind(**arguments)
        written.apply_defaults()
        built.apply_defaults()
        assert written.arguments == built.arguments
