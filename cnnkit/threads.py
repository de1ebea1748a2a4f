"""Threads and cores: how long threads wait for a core, and how many threads a run should have beside other processes.

Standard library only, so that the measurement can last as long as the imports of torch and cost no time.

PyTorch's CPU kernels end each parallel part at a barrier. GNU OpenMP lets a thread that arrives early spin there for
some milliseconds before it sleeps. If another process has the core of the thread that is late, the one that spins uses
up its own time slice for nothing, and a run beside a single busy process gets several times slower. A bounded spin
(GOMP_SPINCOUNT) is no cure: the counts that help beside a busy process cost a tenth of the speed alone, see
docs/benchmarks.md.
"""

import math
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # torch reads them when it is imported
SHORTEST = 0.3  # seconds of a measurement; the system counts in hundredths
_STAT = Path("/proc/stat")
_GROUPS, _LIMITS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ = 1, 2, 3, 6, 7  # columns; see proc_stat(5)
_SPINNING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_Reading = tuple[float, dict[int, float] | None]  # when, and the seconds that each thread has waited


def describe_spinning() -> dict[str, str]:
    """Return the variables that decide how threads wait, as they are set."""
    return {name: os.environ[name] for name in _SPINNING if name in os.environ}


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
    """Return on how many cores this process may run; of their time a container may have less, see `limit_to_quota`."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def count_usable_cores() -> int:
    """Return how many cores this process may use, by its cores and by a container's quota of their time."""
    return limit_to_quota(count_cores())


def limit_to_quota(cores: int) -> int:
    """Return how many of some cores the time that this process may use suffices for, at least one.

    A core of which half or less is left does not count: at every barrier all threads would wait for that one.
    """
    quota = read_quota()
    return cores if quota is None else min(cores, max(1, math.ceil(quota - 0.5)))


def read_quota() -> float | None:
    """Read how many cores' time a container may use: the lowest quota of its control groups; None if there is none.

    Both versions of control groups are read, see cgroups(7): ``cpu.max``, and ``cpu.cfs_quota_us`` in the older one.
    """
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    quotas = []
    for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers and "cpu" not in controllers.split(","):
            continue
        tree = _LIMITS / controllers if controllers else _LIMITS
        path = tree / group.strip("/")
        # In a container the group may be named as outside of it, and its files stand at the top.
        for folder in (place for place in (path, *path.parents) if place.is_relative_to(tree)):
            quotas += _read_quota_of(folder)
    return min(quotas, default=None)


def _read_quota_of(folder: Path) -> list[float]:
    """The quota of one control group, in cores; empty if it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
            if float(quota) > 0:  # -1 is no quota, as "max" is
                return [float(quota) / float(period)]
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return []


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


def describe_quota(threads: int, most: int) -> str:
    """Say in one line that a container's quota decides the threads.

    >>> describe_quota(2, 16)
    'threads 2 of 16: this container may use no more cores; OMP_NUM_THREADS=16 decides otherwise'
    """
    return (
        f"threads {threads} of {most}: this container may use no more cores; OMP_NUM_THREADS={most} decides otherwise"
    )
