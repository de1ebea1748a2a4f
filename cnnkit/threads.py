"""Measures how long threads wait for a core, and reads how they wait. Standard library only.

PyTorch's CPU kernels end each parallel part at a barrier. GNU OpenMP lets a thread that arrives early spin there for
some milliseconds before it sleeps. If another process has the core of the thread that is late, the one that spins uses
up its own time slice for nothing, and a run beside a single busy process gets several times slower. A bounded spin
(GOMP_SPINCOUNT) is no cure: the counts that help beside a busy process cost a tenth of the speed alone, see
docs/benchmarks.md.
"""

import os
import time
from pathlib import Path

_SET_BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_Reading = tuple[float, dict[int, float] | None]  # when, and the seconds that each thread has waited


def describe_spinning() -> dict[str, str]:
    """Return the variables that decide how threads wait, as they are set."""
    return {name: os.environ[name] for name in _SET_BY_USER if name in os.environ}


def read_waiting() -> dict[int, float] | None:
    """Read how long each thread of this process has been ready to run but had no core.

    Returns:
        Seconds by the number of the thread; None where the system does not count it (Linux does, in
        ``/proc/self/task/*/schedstat``).
    """
    found: dict[int, float] = {}
    for task in Path("/proc/self/task").glob("*/schedstat"):
        try:
            found[int(task.parent.name)] = int(task.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # the thread has ended, or the kernel does not count
            continue
    return found or None


def longest_wait(before: dict[int, float], now: dict[int, float]) -> float:
    """Return the seconds that the thread that waited longest has waited since.

    >>> longest_wait({1: 2.0, 2: 3.0}, {1: 2.5, 2: 3.1, 3: 0.2})
    0.5
    """
    return max((seconds - before.get(thread, 0.0) for thread, seconds in now.items()), default=0.0)


class WaitClock:
    """Measures which share of the time a run's threads wait for a core, since its start and since the last look."""

    def __init__(self) -> None:
        self._first = self._last = (time.perf_counter(), read_waiting())

    def read_share(self) -> float | None:
        """Return the share since the start: of the thread that waited longest; None if the system does not count."""
        return self._share(self._first, (time.perf_counter(), read_waiting()))

    def look(self) -> float | None:
        """Return the share since the last look, or since the start."""
        last, self._last = self._last, (time.perf_counter(), read_waiting())
        return self._share(last, self._last)

    @staticmethod
    def _share(before: _Reading, now: _Reading) -> float | None:
        if before[1] is None or now[1] is None or now[0] <= before[0]:
            return None
        return min(1.0, longest_wait(before[1], now[1]) / (now[0] - before[0]))


def describe_starvation(share: float, threads: int) -> str:
    """Say in one line that a run waits for cores, and what helps.

    >>> describe_starvation(0.384, 1)
    'other work uses the cores: this run waited for 38 % of the time; it is faster when they are free'
    """
    remedy = "start it with OMP_NUM_THREADS=1, or when" if threads > 1 else "it is faster when"
    waited = f"this run waited for {100 * share:.0f} % of the time"
    return f"other work uses the cores: {waited}; {remedy} they are free"
