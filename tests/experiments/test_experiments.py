"""The experiments' READMEs agree with their results.csv."""

import re
from pathlib import Path

import pytest

from cnnkit.study.plan import read_plan
from cnnkit.study.results import factor_names, format_markdown, read_rows

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FOLDERS = sorted(path.parent for path in EXPERIMENTS.glob("*/README.md"))
ANSWERED = [folder for folder in FOLDERS if (folder / "results.csv").exists()]


@pytest.mark.parametrize("folder", ANSWERED, ids=lambda folder: folder.name)
def test_the_table_of_the_page_is_that_of_the_results(folder: Path) -> None:
    text = format_markdown(read_rows(folder / "results.csv"))
    assert (folder / "table.md").read_text(encoding="utf-8") == text
    readme = (folder / "README.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- results -->\n(.*)\n?<!-- /results -->", readme, re.DOTALL)
    assert between is not None
    assert between[1].strip() == text.strip()


@pytest.mark.parametrize("folder", ANSWERED, ids=lambda folder: folder.name)
def test_the_results_are_those_of_the_study_as_it_is_written_down(folder: Path) -> None:
    plan, rows = read_plan(folder), read_rows(folder / "results.csv")
    asked = {(*run.variant.levels.values(), str(run.seed)) for run in plan.runs}
    assert {(*(row[factor] for factor in factor_names(row)), row["seed"]) for row in rows} == asked
    assert {row["status"] for row in rows} == {"done"}
    assert {row["test_looks"] for row in rows} == {"1"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_index_has_a_line_for_it(folder: Path) -> None:
    assert f"({folder.name}/README.md)" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    assert f"experiments/{folder.name}" in (folder / "README.md").read_text(encoding="utf-8")
