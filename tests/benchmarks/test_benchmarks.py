import re
from pathlib import Path

import pytest

from benchmarks import neighbor
from benchmarks.__main__ import NAMES, ON_REQUEST, main
from benchmarks.common import Table, take_turns


@pytest.mark.slow
def test_the_loader_benchmark_measures_both_sides(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.common.REAL_DATA", False)
    tables = main(["loader", "--quick", "--rounds", "1"])
    assert [len(table.rows) for table in tables] == [3, 3]
    printed = capsys.readouterr().out
    for expected in ("FashionMNISTSample", "MadeUpCIFAR10", "cnnkit  ", "torchvision v1, 2 workers", "per round"):
        assert expected in printed
    assert all(figure > 0 for table in tables for figures in table.rows.values() for figure in figures)


def test_sides_take_turns_and_every_other_round_is_reversed():
    order = []
    sides = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert take_turns(sides, 2) == {"a": [1, 4], "b": [2, 3]}
    assert order == list("abba")


def test_a_table_shows_median_and_range():
    assert "2.000  (1.000 - 9.000)" in str(Table("title", "s", {"side": [9.0, 1.0, 2.0]}))


@pytest.mark.slow
def test_the_neighbor_benchmark_trains_in_all_situations_with_few_settings(monkeypatch):
    monkeypatch.setattr(neighbor, "SETTINGS", {name: neighbor.SETTINGS[name] for name in ("default", "one thread")})
    tables = list(neighbor.run(rounds=1, quick=True))
    assert [list(table.rows) for table in tables] == [["default"]] * 3
    assert all(figure > 0 for table in tables for figures in table.rows.values() for figure in figures)


def test_every_command_of_the_page_is_a_benchmark():
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^## `(\w+)`", page, re.MULTILINE))
    assert written == {*NAMES, *ON_REQUEST}
    assert set(re.findall(r"^    python -m benchmarks (\w+)", page, re.MULTILINE)) == written
