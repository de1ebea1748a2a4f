"""The clock that every peer carries: it has only the standard library, so that no peer pays another's imports."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Job:
    """What a peer is to do: the folder with the arrays, the least epochs and seconds to train, and the precision."""

    folder: str
    epochs: int
    seconds: float
    bf16: bool
    quick: bool
    batch: int = 128
    workers: int = 2
    max_epochs: int = 100
    mean: float = 0.2860
    std: float = 0.3530
    seed: int = 0


@dataclass
class Watch:
    """Notes the first step, the rate of every epoch, the accuracy after it, and the peak memory."""

    job: Job
    began: float
    first_step: float = 0.0
    images: int = 0
    epoch_began: float = 0.0
    rates: list[float] = field(default_factory=list)
    accuracies: list[tuple[float, float]] = field(default_factory=list)

    def begin_epoch(self) -> None:
        """Before the loader is asked for the first batch."""
        self.epoch_began, self.images = time.time(), 0

    def step(self, images: int) -> None:
        """After the optimizer's step on so many images."""
        self.images += images
        self.first_step = self.first_step or time.time() - self.began

    def end_epoch(self) -> None:
        """Before validation."""
        self.rates.append(self.images / (time.time() - self.epoch_began))

    def validated(self, accuracy: float) -> bool:
        """After validation, with the share of correct answers; returns whether to stop."""
        passed = time.time() - self.began
        self.accuracies.append((passed, 100 * accuracy))
        return len(self.accuracies) >= self.job.epochs and passed >= self.job.seconds

    def report(self) -> dict[str, float]:
        """The figures; the first epoch's rate counts only if there is no other."""
        in_time = [accuracy for passed, accuracy in self.accuracies if passed <= self.job.seconds]
        rates = self.rates[1:] or self.rates
        return {
            "rate": sum(rates) / len(rates),
            "first_step": self.first_step,
            "memory": peak_memory(),
            "equal_time": in_time[-1] if in_time else 0.0,
            "equal_epochs": self.accuracies[self.job.epochs - 1][1],
            "whole": self.accuracies[self.job.epochs - 1][0],
            "epochs_in_time": len(in_time),
        }


def peak_memory() -> float:
    """VmHWM of this process in MB; not ru_maxrss, which begins at the peak of the process that started this one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def main(module: str, job: str, answer: str) -> None:
    """What the fresh process does: import the peer, train, write the figures."""
    import importlib

    watch = Watch(Job(**json.loads(job)), float(os.environ["PEER_BEGAN"]))
    importlib.import_module(f"benchmarks.peers.{module}").train(watch)
    Path(answer).write_text(json.dumps(watch.report()), encoding="ascii")
