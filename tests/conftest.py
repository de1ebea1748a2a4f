import atexit
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_runs import SMALL, WATCHED, Cli, CommandResult

from cnnkit.cli import main
from cnnkit.runs import RunFolder, find

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # threads do not follow what else the machine does


def pytest_collection_finish() -> None:
    """Later collections of garbage pass over the imports and the tests: a quarter of the time went into them."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # what is still frozen at the end is taken for a leak by some libraries


_SHARED: list[Path] = []  # the run of `trained_once`, once there is one


@pytest.fixture(autouse=True)
def shared_run_is_left_alone() -> Iterator[None]:
    """A test that writes into the shared run would fail another one, somewhere else."""
    before = [_state(run) for run in _SHARED]
    yield
    assert [_state(run) for run in _SHARED[: len(before)]] == before, "this test wrote into trained_once"


def _state(run: Path) -> list[tuple[str, int]]:
    return sorted((file.name, file.stat().st_mtime_ns) for file in run.iterdir() if file.suffix != ".lock")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Lightning's seed and our run folder travel in environment variables; each test starts with none of them."""
    before = dict(os.environ)
    os.environ["CNNKIT_PRECISION"] = "32-true"
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """``cli("fit", ...)`` runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*words: str) -> CommandResult:
        capfd.readouterr()
        code = main(list(words))
        return CommandResult(code, *capfd.readouterr())

    return run


@pytest.fixture
def fit(cli: Cli) -> Callable[..., RunFolder]:
    """``fit(...)`` trains the small net and returns its run folder."""

    def run(*words: str) -> RunFolder:
        ended = cli("fit", *SMALL, *words)
        assert ended.code == 0, ended.err
        return find("runs")

    return run


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two epochs; do not write to it."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CNNKIT_PRECISION", "32-true")
        patch.setenv("PL_GLOBAL_SEED", "0")
        words = ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--name=small"]
        assert main(["fit", *SMALL, WATCHED, *words]) == 0
    _SHARED.append(find(folder / "runs").path)
    return RunFolder(_SHARED[0])
