"""Run a study: finished runs are not repeated, stopped ones are resumed, failures are recorded."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.runs.identity import ExistingRun, list_runs
from cnnkit.runs.lock import hold_lock
from cnnkit.study.plan import Planned

INTERRUPTED = range(129, 160)  # exit codes of a command that a signal stopped


class CommandResult(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    text: str  # of a failed command the last line is the reason

    @classmethod
    def of_process(cls, returncode: int, text: str) -> "CommandResult":
        """The result of a process; the return code -n, of one that signal n has ended, becomes 128 + n, as in a shell.

        Example:
            >>> CommandResult.of_process(-15, "").code, CommandResult.of_process(2, "").code
            (143, 2)
        """
        return cls(returncode if returncode >= 0 else 128 - returncode, text)


Execute = Callable[[list[str]], CommandResult]


@dataclass(frozen=True)
class ResolvedVariant:
    """What is known of a variant without training it.

    Args:
        config: its resolved configuration, with the precision of the computation.
        code: see `cnnkit.runs.identity.code_version`.
        data: ``fingerprint`` and ``split`` of its data.
        parameters: of its net.
        macs: multiply-accumulates of its net for one image; None if they cannot be counted.
        settled: words of the command line for what the study sets: the precision.
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
    """The outcome of a planned run: its folder, or the reason why there is none."""

    planned: Planned
    found: ExistingRun | None
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether its test score is there."""
        return self.found is not None and self.found.state == "done"

    @property
    def scores(self) -> dict[str, float]:
        """The last scores of training, those of the best epoch in their place, and the test scores."""
        manifest = self.found.manifest if self.found is not None else {}
        return {**manifest.get("last", {}), **manifest.get("best", {}), **manifest.get("test", {})}


class Interrupted(Exception):
    """The study was stopped by a signal; finished runs are kept."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stopped by signal {code - 128}")
        self.code = code


class Engine:
    """Runs the variants of one study.

    Args:
        root: folder of its run folders, ``<root>/<variant>/<when>-<id>``.
        resolved: by the variants' names.
        execute: runs ``cnnkit`` with these words.
    """

    def __init__(self, root: Path, resolved: dict[str, ResolvedVariant], execute: Execute) -> None:
        self.root, self.resolved, self.execute = root, resolved, execute

    def find(self, planned: Planned) -> ExistingRun | None:
        """The newest run folder of a planned run, if there is one; a finished one comes first."""
        what = self.resolved[planned.variant.name]
        config = what.with_seed(planned.seed)
        found = [f for f in list_runs(self.root / planned.variant.name) if f.matches(config, what.code, what.data)]
        order = ("done", "trained", "resumable", "failed", "nothing")
        return min(found, key=lambda each: order.index(each.state), default=None)

    def list_precisions(self, planned: Sequence[Planned]) -> list[str]:
        """The precisions of the existing runs of these."""
        found = []
        for each in planned:
            what, runs = self.resolved[each.variant.name], list_runs(self.root / each.variant.name)
            wanted = what.with_seed(each.seed), what.code, what.data
            found += [
                run.precision
                for run in runs
                if run.state in ("done", "trained", "resumable") and run.matches(*wanted, any_precision=True)
            ]
        return [precision for precision in found if precision]

    def run_one(self, planned: Planned) -> Outcome:
        """Train and test one run, as far as that is not done yet.

        Raises:
            Interrupted: if a signal stopped it.
        """
        found = self.find(planned)
        state = found.state if found is not None else "nothing"
        if state not in ("done", "trained"):
            words = (
                ["--resume", str(found.run)] if found is not None and state == "resumable" else self._fit_words(planned)
            )
            result = self._run(["fit", *words, "--trainer.enable_progress_bar=false"])
            found = self.find(planned)
            if found is None or found.state not in ("done", "trained"):
                return Outcome(planned, found, _reason(result, found))
        if found is not None and found.state == "trained":
            result = self._run(["test", "--run", str(found.run)])
            found = self.find(planned)
            if found is None or found.state != "done":
                return Outcome(planned, found, _reason(result, found))
        return Outcome(planned, found)

    def _fit_words(self, planned: Planned) -> list[str]:
        variant = planned.variant
        place = ["--name", variant.name, "--trainer.default_root_dir", str(self.root)]
        return [*variant.words, *self.resolved[variant.name].settled, "--seed_everything", str(planned.seed), *place]

    def _run(self, words: list[str]) -> CommandResult:
        result = self.execute(words)
        if result.code in INTERRUPTED:
            raise Interrupted(result.code)
        return result


def _reason(result: CommandResult, found: ExistingRun | None) -> str:
    if not result.code:
        return "it ended well, but its code or data are no longer those that the study began with; run the study again"
    said = [line for line in result.text.splitlines() if line.startswith("error: ")]
    noted = str(found.manifest.get("reason") or "") if found is not None else ""
    return (said[-1].removeprefix("error: ") if said else noted) or f"ended with exit code {result.code}"


def run_all(
    engine: Engine, runs: Sequence[Planned], jobs: int, on_outcome: Callable[[Outcome, float], None]
) -> list[Outcome]:
    """Train and test the runs, ``jobs`` at a time, in their order.

    Args:
        engine: of the study.
        runs: the planned runs.
        jobs: 1 runs them in this thread.
        on_outcome: called after each run with its outcome and its seconds.

    Returns:
        The outcomes in the order of the runs.

    Raises:
        Interrupted: after a signal, when the current runs have ended.
    """

    def time_one(planned: Planned) -> tuple[Outcome, float]:
        began = time.perf_counter()
        return engine.run_one(planned), time.perf_counter() - began

    outcomes = []
    with ThreadPoolExecutor(jobs) if jobs > 1 else contextlib.nullcontext() as pool:
        waiting = [pool.submit(time_one, planned).result for planned in runs] if pool else []
        try:
            for result in waiting or [partial(time_one, planned) for planned in runs]:
                outcome, seconds = result()
                on_outcome(outcome, seconds)
                outcomes.append(outcome)
        except BaseException:
            if pool:
                pool.shutdown(wait=True, cancel_futures=True)
            raise
    return outcomes


@contextlib.contextmanager
def lock_study(root: Path) -> Iterator[None]:
    """Keep a second process from working on the same study; remove the folder if it was made here and stays empty.

    Raises:
        UserError: another process works on it.
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    lock = root / ".lock"
    with hold_lock(lock, lambda: f"{root}: another process is at this study; wait for it, or stop it"):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if made and list(root.iterdir()) == [lock]:
                    lock.unlink()
                    for folder in made:
                        folder.rmdir()
