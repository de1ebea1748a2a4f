"""The examples in the docstrings of `cnnkit.analysis`."""

import doctest
import importlib
from pathlib import Path

import pytest

import cnnkit.analysis

FILES = sorted(Path(cnnkit.analysis.__file__).parent.glob("*.py"))
NAMES = [file.stem for file in FILES if ">>> " in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_module_print_what_they_say(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"cnnkit.analysis.{name}"))
    assert outcome.attempted, "the examples are not where doctest looks for them"
    assert outcome.failed == 0
