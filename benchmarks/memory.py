"""Peak memory of an epoch's batches against the data set's bytes, in fresh processes."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import Table, cifar10, fashion_mnist, fresh

ROUNDS = 3
MB = 1e6


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Both data sets; Linux only, as it reads /proc."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("\nmemory: needs Linux's /proc/self/smaps_rollup; left out")
        return
    for make in (fashion_mnist, cifar10):
        data = make()
        data.setup()
        pixels = data.store.train_images.nbytes / MB
        peaks, anonymous = [], []
        for _ in range(rounds):
            idle = figures(make.__name__, 0)
            busy = figures(make.__name__, 5 if quick else sys.maxsize)
            peaks.append(busy[0] - idle[0])
            anonymous.append(busy[1] - idle[1])
        yield Table(
            f"memory: an epoch of {type(data).__name__} in batches of 128, above a process that only imports",
            "MB",
            {"training images": [pixels], "peak resident": peaks, "of it anonymous": anonymous},
            {"peak resident / training images": [peak / pixels for peak in peaks]},
            ["resident counts the pages of the memory-mapped store; anonymous is the most seen every 50 batches"],
        )


def figures(name: str, batches: int) -> tuple[float, float]:
    """Peak resident and anonymous megabytes of a fresh process that draws so many batches; 0: imports alone."""
    peak, anonymous = fresh("-c", f"from benchmarks.memory import child; child({name!r}, {batches})").split()
    return float(peak), float(anonymous)


def child(name: str, batches: int) -> None:
    """What the fresh process does."""
    anonymous = 0.0
    if batches:
        data = {"fashion_mnist": fashion_mnist, "cifar10": cifar10}[name](batch_size=128)
        data.setup()
        for number, batch in enumerate(data.train_dataloader()):
            data.prepare(batch, training=True)
            if number % 50 == 0:
                anonymous = max(anonymous, kilobytes("smaps_rollup", "Anonymous"))
            if number >= batches:
                break
    anonymous = max(anonymous, kilobytes("smaps_rollup", "Anonymous"))
    # Not getrusage's ru_maxrss, which begins at the peak of the process that started this one.
    print(kilobytes("status", "VmHWM") * 1024 / MB, anonymous * 1024 / MB)


def kilobytes(file: str, key: str) -> float:
    """A figure of this process."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self", file).read_text(encoding="ascii"), re.MULTILINE)
    return float(found[1]) if found else float("nan")
