"""The option that writes docs/compatibility.md, and the fixture that compares with it or gathers for it."""

from collections.abc import Callable, Iterable, Iterator

import pytest
from compatibility.table import Outcome, merge, read, write


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write what was found into docs/compatibility.md")


@pytest.fixture(scope="session")
def _gathered(request: pytest.FixtureRequest) -> Iterator[list[Outcome]]:
    rows: list[Outcome] = []
    yield rows
    if request.config.getoption("--write-table", False) and rows:
        write(merge(read(), rows))


@pytest.fixture
def report(request: pytest.FixtureRequest, _gathered: list[Outcome]) -> Callable[[Iterable[Outcome]], None]:
    """``report(rows)``, rows of one or several names: no faults, and the committed table says the same of them."""

    def check(rows: Iterable[Outcome]) -> None:
        found = list(rows)
        _gathered.extend(found)
        faults = [row for row in found if row.result == "FAULT"]
        assert not faults, "\n".join(map(str, faults))
        if not request.config.getoption("--write-table", False):
            names = {(row.group, row.name) for row in found}
            committed = [row for row in read() if (row.group, row.name) in names]
            assert set(found) == set(committed), "run pytest tests/compatibility -m slow --write-table"

    return check
