"""Typos get the hint that is right."""

import pytest

from benchmarks import typos


def test_the_typos_are_the_same_every_time_and_none_is_right() -> None:
    made = typos.make_typos(typos.COUNT)
    assert made == typos.make_typos(typos.COUNT)
    assert len(set(made)) == typos.COUNT == 253
    assert all(typo.typed != typo.meant for typo in made)


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_nearly_all_get_the_right_hint(quick: bool) -> None:
    (table,) = typos.run(rounds=1, quick=quick)
    (share,) = next(figures for name, figures in table.rows.items() if name.startswith("all"))
    assert share >= 97, table.notes
