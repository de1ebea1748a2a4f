"""docs/course: every page prints what it shows, and everything that the index names exists and runs."""

import importlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from course_pages import PAGES, ROOT, blocks_of, run_block, run_command, said_by

from cnnkit.runs import RunFolder

TEXT = (PAGES / "index.md").read_text(encoding="utf-8")


class Row(NamedTuple):
    number: int
    idea: str
    shown_by: str
    page: str
    study: str
    test: str


def read_rows() -> Iterator[Row]:
    for line in TEXT.splitlines():
        if re.match(r"\| \d+ \|", line):
            number, idea, shown, page, study, test = (cell.strip() for cell in line.strip("|").split(" | "))
            link = r"\[.*\]\((.*)\)"
            yield Row(int(number), idea, shown.strip("`"), re.sub(link, r"\1", page), re.sub(link, r"\1", study), test)


ROWS = list(read_rows())
NAMES = sorted({row.shown_by for row in ROWS if re.match(r"(cnnkit|torch)\.", row.shown_by)})
COMMANDS = sorted({row.shown_by for row in ROWS} - set(NAMES))
SLOW = ("autoencoder", "--effective")  # seconds; other tests have the same code run for less


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("docs", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_prints_what_it_says(page: Path, desk: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks_of(page):
        assert run_block(block, names) == said_by(block), block.text


def test_the_index_has_every_idea_of_the_course() -> None:
    assert [row.number for row in ROWS] == list(range(1, 105))
    assert all(row.idea and row.page and row.test for row in ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_index_can_be_imported(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = importlib.import_module(module)
    assert hasattr(found, attribute) or importlib.import_module(name)


def test_pages_studies_and_tests_of_the_index_are_there() -> None:
    for row in ROWS:
        path, _, anchor = row.page.partition("#")
        text = (PAGES / path).read_text(encoding="utf-8")
        headings = [re.sub(r"[^\w\- ]", "", line.lstrip("# ")).replace(" ", "-").lower() for line in text.splitlines()]
        assert not anchor or anchor in headings, row
        assert not row.study or (PAGES / row.study).is_file(), row
        file, _, test = row.test.strip("`").partition("::")
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), row


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=[pytest.mark.slow] if any(word in c for word in SLOW) else []) for c in COMMANDS],
)
def test_a_command_of_the_index_runs(command: str, desk: Path, tmp_path: Path, trained_once: RunFolder) -> None:
    if command.startswith("study "):  # minutes to hours: tests/experiments reads results
        assert (ROOT / command.removeprefix("study ") / "study.yaml").is_file()
        return
    if "RUN" in command:  # a copy, for `test` writes its scores into the run
        shutil.copytree(trained_once.path, tmp_path / "run")
    line = f"cnnkit {command.replace('RUN', str(tmp_path / 'run'))}"
    code, printed = run_command(f"{line} --print_config" if command.startswith("fit ") else line)
    assert code == 0, printed
