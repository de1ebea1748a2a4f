"""Carrying a study out: what is done is not repeated, what was cut off goes on, what fails is noted."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.errors import UserError
from cnnkit.runs.identity import ExistingRun, list_runs
from cnnkit.study.plan import Planned

INTERRUPTED = range(129, 160)  # exit codes of a command that a signal stopped


class CommandResult(NamedTuple):
    """What is left of a command."""

    code: int
    text: str  # what it said, its last line the reason if it failed


Execute = Callable[[list[str]], CommandResult]


@dataclass(frozen=True)
class ResolvedVariant:
    """What a variant comes to, found out without training it.

    Args:
        config: its resolved configuration, its precision the one that is computed in.
        code: see `cnnkit.runs.identity.code_version`.
        data: ``fingerprint`` and ``split`` of its data.
        parameters: of its net.
        macs: multiply-accumulates of its net for one image; None if they cannot be counted.
        settled: words of the command line for what the study decides in its place: the precision.
    """

    config: dict[str, Any]
    code: str
    data: dict[str, Any]
    parameters: int
    macs: int | None
    settled: tuple[str, ...] = ()

    def with_seed(self, seed: int) -> dict[str, Any]:
        """The configuration of one run."""
        return {**self.config, "seed_everything": seed}


@dataclass
class Outcome:
    """What came of a planned run: its folder, or why there is none."""

    planned: Planned
    found: ExistingRun | None
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether its test score is there."""
        return self.found is not None and self.found.state == "done"


class Interrupted(Exception):
    """The study was stopped by a signal; everything is as far as it came."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stopped by signal {code - 128}")
        self.code = code


class Engine:
    """Runs of one study.

    Args:
        root: folder of its run folders, ``<root>/<variant>/<when>-<id>``.
        resolved: by the variants' names.
        execute: runs ``python -m cnnkit`` with these words.
    """

    def __init__(self, root: Path, resolved: dict[str, ResolvedVariant], execute: Execute) -> None:
        self.root, self.resolved, self.execute = root, resolved, execute

    def find(self, planned: Planned) -> ExistingRun | None:
        """The newest run folder of it that is of use, if there is one: a done one before all others."""
        what = self.resolved[planned.variant.name]
        config = what.with_seed(planned.seed)
        found = [f for f in list_runs(self.root / planned.variant.name) if f.matches(config, what.code, what.data)]
        order = ("done", "trained", "resumable", "failed", "nothing")
        return min(found, key=lambda each: order.index(each.state), default=None)

    def list_precisions(self, planned: Sequence[Planned]) -> list[str]:
        """Of the runs there are for these, in whatever precision they were computed."""
        found = []
        for each in planned:
            what, runs = self.resolved[each.variant.name], list_runs(self.root / each.variant.name)
            asked = what.with_seed(each.seed), what.code, what.data
            found += [
                run.precision
                for run in runs
                if run.state in ("done", "trained", "resumable") and run.matches(*asked, any_precision=True)
            ]
        return [precision for precision in found if precision]

    def run_one(self, planned: Planned) -> Outcome:
        """Train and test, as far as that is not done yet.

        Raises:
            Interrupted: if a signal stopped it.
        """
        found = self.find(planned)
        state = found.state if found is not None else "nothing"
        if state not in ("done", "trained"):
            words = (
                ["--resume", str(found.run)] if found is not None and state == "resumable" else self._fit_words(planned)
            )
            ended = self._run(["fit", *words, "--trainer.enable_progress_bar=false"])
            found = self.find(planned)
            if found is None or found.state not in ("done", "trained"):
                return Outcome(planned, found, _reason(ended, found))
        if found is not None and found.state == "trained":
            ended = self._run(["test", "--run", str(found.run)])
            found = self.find(planned)
            if found is None or found.state != "done":
                return Outcome(planned, found, _reason(ended, found))
        return Outcome(planned, found)

    def _fit_words(self, planned: Planned) -> list[str]:
        variant = planned.variant
        place = ["--name", variant.name, "--trainer.default_root_dir", str(self.root)]
        return [*variant.words, *self.resolved[variant.name].settled, "--seed_everything", str(planned.seed), *place]

    def _run(self, words: list[str]) -> CommandResult:
        ended = self.execute(words)
        if ended.code in INTERRUPTED:
            raise Interrupted(ended.code)
        return ended


def _reason(ended: CommandResult, found: ExistingRun | None) -> str:
    if not ended.code:
        return "it ended well, but its code or data are no longer those that the study began with; run the study again"
    said = [line for line in ended.text.splitlines() if line.startswith("error: ")]
    noted = str(found.manifest.get("reason") or "") if found is not None else ""
    return (said[-1].removeprefix("error: ") if said else noted) or f"ended with exit code {ended.code}"


def run_all(
    engine: Engine, runs: Sequence[Planned], jobs: int, report: Callable[[Outcome, float], None]
) -> list[Outcome]:
    """Carry out the runs, ``jobs`` at a time, in their order.

    Args:
        engine: what carries out one.
        runs: which.
        jobs: 1 runs them in this thread.
        report: called after each with its outcome and the seconds that it took.

    Returns:
        The outcomes in the order of the runs; those that a signal kept from starting are missing.

    Raises:
        Interrupted: after a signal, when what was under way has ended.
    """

    def one(planned: Planned) -> tuple[Outcome, float]:
        began = time.perf_counter()
        return engine.run_one(planned), time.perf_counter() - began

    if jobs == 1:
        outcomes = []
        for planned in runs:
            outcome, seconds = one(planned)
            report(outcome, seconds)
            outcomes.append(outcome)
        return outcomes
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(one, planned) for planned in runs]
        outcomes = []
        try:
            for future in waiting:
                outcome, seconds = future.result()
                report(outcome, seconds)
                outcomes.append(outcome)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return outcomes


@contextlib.contextmanager
def lock_study(root: Path) -> Iterator[None]:
    """Keep a second process from working on the same study.

    Raises:
        UserError: if one is at it.
    """
    import fcntl

    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{root}: another process is at this study; wait for it, or stop it") from None
        yield
