"""Private names of other libraries stand in `cnnkit.upstream` alone, and are there."""

import pytest

from benchmarks.house import ROOT, House
from cnnkit.upstream import PRIVATE, private


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_name_is_still_there(name: str) -> None:
    assert private(name) is not None


def test_a_name_that_is_gone_says_why_it_was_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRIVATE, "torch.nn.Linear._no_such", "of a test")
    with pytest.raises(ImportError, match=r"torch\.nn\.Linear\._no_such is gone; cnnkit uses it because of a test"):
        private("torch.nn.Linear._no_such")


def test_few_names_and_in_one_place() -> None:
    found = House(ROOT).private_names()
    assert {(name, file.name) for name, file in found if file.name != "upstream.py"} == set()
    assert len(found) <= 8
