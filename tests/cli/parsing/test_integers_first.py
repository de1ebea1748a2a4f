"""A whole number stays one, in whatever order a union has its types: one batch is not all batches."""

from pathlib import Path

import pytest
from jsonargparse import ArgumentParser
from small_runs import SMALL, Cli

from cnnkit.upstream import read_integers_first

NET = """
import cnnkit

class Scaled(cnnkit.CNN):
    def __init__(self, *args, times: float | int = 2.0, **kwargs):
        super().__init__(*args, **kwargs)
        assert type(times) is int, times
"""


@pytest.mark.parametrize(("kind", "least"), [(float | int, 1), (int | float, 1), (float | int | None, 1), (float, 1.0)])
def test_the_order_of_a_union_decides_nothing(kind: type, least: float) -> None:
    read_integers_first()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--batches", type=kind)
    for given in (["--batches=1"], ["--batches", "1"]):
        found = parser.parse_args(given).batches
        assert (type(found), found) == (type(least), least)
    assert type(parser.parse_object({"batches": 1}).batches) is type(least)
    assert parser.parse_args(["--batches=0.5"]).batches == 0.5
    assert type(parser.parse_args(["--batches=1.0"]).batches) is float


def test_a_net_gets_the_whole_number_that_was_given(cli: Cli) -> None:
    Path("scaled.py").write_text(NET)
    ended = cli("fit", *SMALL, "--model.net=scaled.Scaled", "--model.net.times=1")
    assert ended.code == 0, ended.err
