"""Measures how many cores other processes use, and how many threads a run should have beside them.

Standard library only, so that the measurement can last as long as the imports of torch and cost no time.
"""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SET_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # torch reads them when it is imported
SHORTEST = 0.3  # seconds of a measurement; the system counts in hundredths
_STAT = Path("/proc/stat")
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ = 1, 2, 3, 6, 7  # columns; see proc_stat(5)


@dataclass(frozen=True)
class Usage:
    """What the cores that this process may use have done up to now.

    Attributes:
        when: `time.perf_counter`, in seconds.
        everyone: seconds of work for all processes, see `sum_busy`.
        own: seconds of work for this process and those that it started and that have ended.
    """

    when: float
    everyone: float
    own: float


def read_usage() -> Usage | None:
    """Read what the cores have done; None where the system does not say (Linux does)."""
    try:
        cores, yields = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0) > 0
        ticks = sum_busy(_STAT.read_text(encoding="ascii"), cores, with_nice=yields)
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return Usage(time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]))


def sum_busy(stat: str, cores: Collection[int], *, with_nice: bool) -> int:
    """Add up the work of some cores, in the system's ticks.

    Args:
        stat: the text of /proc/stat.
        cores: their numbers.
        with_nice: count processes of a positive nice value. They yield to a process that has none, so only one that
            has such a value itself should count them.

    Example:
        >>> sum_busy("cpu  9 9 9 9 9 9 9\\ncpu0 100 20 3 400 5 6 7 0 0 0\\ncpu1 1 1 1 1 1 1 1", [0], with_nice=False)
        116
    """
    columns = (_USER, _SYSTEM, _IRQ, _SOFTIRQ, *((_NICE,) if with_nice else ()))
    rows = [line.split() for line in stat.splitlines()]
    names = {f"cpu{core}" for core in cores}
    return sum(int(row[column]) for row in rows if row and row[0] in names for column in columns)


def count_used_by_others(before: Usage, now: Usage) -> float:
    """Return how many cores other processes have used in between, on average.

    >>> count_used_by_others(Usage(0.0, 50.0, 3.0), Usage(2.0, 54.0, 4.0))
    1.5
    """
    used = (now.everyone - before.everyone) - (now.own - before.own)
    return max(0.0, used / (now.when - before.when))


def measure_others(before: Usage) -> float | None:
    """Measure how many cores others use, since a reading and for `SHORTEST` at least; None if it cannot be read."""
    time.sleep(max(0.0, SHORTEST - (time.perf_counter() - before.when)))
    now = read_usage()
    return None if now is None else count_used_by_others(before, now)


def count_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def choose_threads(threads: int, cores: int, others: float) -> int:
    """Choose how many threads to compute with: one for each core that others leave free, and at least one.

    A core counts as taken if others use it for half of the time or more.

    Args:
        threads: the most, which torch takes by default.
        cores: those that this process may use.
        others: how many of them other processes use.

    Example:
        >>> [choose_threads(2, 2, others) for others in (0.0, 0.4, 0.6, 2.0)]
        [2, 2, 1, 1]
        >>> [choose_threads(4, 8, others) for others in (3.0, 6.0)]  # two hardware threads for each core
        [4, 2]
    """
    return min(threads, max(1, cores - int(others + 0.5)))


def describe_choice(threads: int, most: int, others: float) -> str:
    """Say in one line why a run has fewer threads than cores.

    >>> describe_choice(1, 2, 0.96)
    'threads 1 of 2: other processes use 1.0 core; OMP_NUM_THREADS=2 decides otherwise'
    """
    used = f"{others:.1f} core{'' if f'{others:.1f}' == '1.0' else 's'}"
    return f"threads {threads} of {most}: other processes use {used}; OMP_NUM_THREADS={most} decides otherwise"
