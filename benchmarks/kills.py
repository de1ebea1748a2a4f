"""What `kill -9` costs: a small training killed at random moments and resumed, and a process killed while it saves.

Every child is a fork of this process, which has imported everything and computed nothing: a child begins to train at
once. POSIX alone.
"""

import contextlib
import io
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.common import Table, run_root
from benchmarks.forks import fork, wait_for
from benchmarks.run_files import missing_rows, read_rows, unreadable
from cnnkit.callbacks import SafeCheckpointIO, load_checkpoint
from cnnkit.cli import main
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder

ROUNDS = 200
STEPS, EPOCHS = 3, 6
FIT = [
    "--model.net.channels=[4,8]",
    "--model.net.hidden_sizes=[16]",
    "--model.net.dropout=0.2",
    "--model.scheduler=WarmupCosineLR",
    "--data.batch_size=32",
    f"--trainer.limit_train_batches={STEPS}",
    f"--trainer.max_epochs={EPOCHS}",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.precision=32-true",
    "--watch=null",
    "--name=storm",
]
EARLY = 0.1  # share of the kills that come before there is anything to lose


@dataclass
class Storm:
    """What a series of kills has cost."""

    kills: int = 0
    before_the_first_checkpoint: int = 0
    resumes: int = 0
    resumes_refused: int = 0
    resumes_exact: int = 0
    lost_rows: int = 0
    unreadable_files: int = 0
    notes: list[str] = field(default_factory=list)


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Both series, each of so many kills."""
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    chance = random.Random(0)
    with run_root() as root, contextlib.chdir(root):
        storm = kill_fits(rounds, chance)
    yield Table(
        f"a training of {EPOCHS} epochs of {STEPS} steps, killed at random moments",
        "count",
        _rows(storm),
        notes=storm.notes,
    )
    with run_root() as root, contextlib.chdir(root):
        saves = kill_saves(rounds, chance, megabytes=1 if quick else 8)
    rows = {name: figure for name, figure in _rows(saves).items() if name in ("kills", "unreadable files")}
    yield Table("a process that only saves, killed", "count", rows, notes=saves.notes)


def kill_fits(rounds: int, chance: random.Random) -> Storm:
    """Kill a fit, look at every file that it has left, resume, and compare with the fit that nobody killed."""
    storm = Storm()
    with contextlib.redirect_stdout(io.StringIO()):
        main(["fit", *FIT, "--print_config"])  # imports what is imported late
    child = fork(lambda: main(["fit", *FIT]))
    _wait_for_checkpoint()
    saved = time.perf_counter()
    if (code := wait_for(child)) != 0:
        raise RuntimeError(f"the undisturbed fit ended with exit code {code}")
    took = time.perf_counter() - saved
    whole = _only_run()
    expected_rows, expected_weights = read_rows(whole), _weights(whole)
    shutil.move("runs", "whole")
    while storm.kills < rounds:
        child = fork(lambda: main(["fit", *FIT]))
        if chance.random() < EARLY:
            time.sleep(chance.uniform(0, took))
        else:
            _wait_for_checkpoint()
            time.sleep(chance.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        if wait_for(child) != -signal.SIGKILL:  # it had ended
            shutil.rmtree("runs")
            continue
        storm.kills += 1
        _look_and_resume(storm, expected_rows, expected_weights)
        shutil.rmtree("runs", ignore_errors=True)
        if storm.kills % 10 == 0:  # it takes many minutes
            print(f"{storm.kills} kills: {_rows(storm)}", file=sys.stderr)
    return storm


def _look_and_resume(storm: Storm, rows: dict[int, dict[str, str]], weights: dict[str, torch.Tensor]) -> None:
    folders = list(Path("runs/storm").glob("*"))
    run = RunFolder(folders[0]) if folders else None
    problems = unreadable(run) if run else []
    storm.unreadable_files += len(problems)
    storm.notes += problems
    if run is None or not list(run.checkpoints.glob("*.ckpt")):
        storm.before_the_first_checkpoint += 1
        return
    reached = max((_step(file) for file in run.checkpoints.glob("*.ckpt")), default=0)
    storm.lost_rows += len(missing_rows({k: v for k, v in rows.items() if k < reached}, read_rows(run)))
    storm.resumes += 1
    code = wait_for(fork(lambda: main(["fit", "--resume", str(run.path)])))
    if code != 0:
        storm.resumes_refused += 1
        storm.notes.append(f"a resume ended with exit code {code}")
        return
    storm.lost_rows += len(missing_rows(rows, read_rows(run)))
    problems = unreadable(run)
    storm.unreadable_files += len(problems)
    storm.notes += problems
    after = _weights(run)
    storm.resumes_exact += all(torch.equal(after[name], value) for name, value in weights.items())


def kill_saves(rounds: int, chance: random.Random, megabytes: int) -> Storm:
    """Kill a process that does nothing but replace one checkpoint, and read what is there."""
    storm, file = Storm(), Path("checkpoints/last.ckpt")
    state = {"epoch": 0, "pytorch-lightning_version": "2.6.6", "state_dict": {"w": torch.zeros(megabytes * 2**18)}}

    def save_on_and_on() -> int:
        for step in range(10**9):
            SafeCheckpointIO().save_checkpoint({**state, "global_step": step}, file)
        return 0

    SafeCheckpointIO().save_checkpoint({**state, "global_step": 0}, file)
    for _ in range(rounds):
        child = fork(save_on_and_on)
        time.sleep(chance.uniform(0.02, 0.3))
        os.kill(child, signal.SIGKILL)
        wait_for(child)
        storm.kills += 1
        try:
            load_checkpoint(file)
        except UserError as error:
            storm.unreadable_files += 1
            storm.notes.append(str(error))
        for left in file.parent.glob(".*.tmp"):  # a run's next writer sweeps them
            left.unlink()
    return storm


def _wait_for_checkpoint() -> None:
    for _ in range(60_000):
        if list(Path("runs/storm").glob("*/checkpoints/*.ckpt")):
            return
        time.sleep(0.002)
    raise RuntimeError("the fit has come to no checkpoint in two minutes")


def _only_run() -> RunFolder:
    (folder,) = Path("runs/storm").glob("*")
    return RunFolder(folder)


def _weights(run: RunFolder) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(run.last)["state_dict"]
    return found


def _step(file: Path) -> int:
    try:
        return int(load_checkpoint(file)["global_step"])
    except UserError:
        return 0


def _rows(storm: Storm) -> dict[str, list[float]]:
    return {name.replace("_", " "): [float(count)] for name, count in vars(storm).items() if isinstance(count, int)}
