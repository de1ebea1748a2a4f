"""The examples in the docstrings of the package."""

import doctest
import importlib
from pathlib import Path

import pytest

import cnnkit

PACKAGE = Path(cnnkit.__file__).parent
FILES = sorted(file for file in PACKAGE.rglob("*.py") if ">>> " in file.read_text(encoding="utf-8"))
NAMES = [".".join(("cnnkit", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in FILES]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_module_print_what_they_say(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert outcome.attempted, "the examples are not where doctest looks for them"
    assert outcome.failed == 0
