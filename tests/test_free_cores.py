"""How many cores other processes use, and the threads that a run has beside them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnkit import threads
from cnnkit.threads import (
    choose_threads,
    count_usable_cores,
    count_used_by_others,
    limit_to_quota,
    measure_others,
    read_quota,
    read_usage,
    sum_busy,
)

STAT = """cpu  999 999 999 999 999 999 999 0 0 0
cpu0 100 20 3 400 5 6 7 0 0 0
cpu1 10 2 30 4000 50 60 70 0 0 0
cpu10 1 1 1 1 1 1 1 1 1 1
intr 12345 0 0
"""


def test_only_the_work_on_the_cores_of_this_process_counts() -> None:
    assert sum_busy(STAT, [0], with_nice=False) == 100 + 3 + 6 + 7
    assert sum_busy(STAT, [0, 1], with_nice=True) == (100 + 20 + 3 + 6 + 7) + (10 + 2 + 30 + 60 + 70)
    assert sum_busy(STAT, [10], with_nice=False) == 4  # not cpu1


@pytest.mark.parametrize("most", [1, 2, 4, 8])
@pytest.mark.parametrize("others", [0.0, 0.3, 0.5, 1.0, 2.4, 7.9, 30.0])
def test_a_run_has_a_thread_and_leaves_the_others_their_cores(most: int, others: float) -> None:
    threads = choose_threads(most, 8, others)
    assert 1 <= threads <= most
    assert threads == most or threads == 1 or threads + others <= 8 + 0.5


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not count")
def test_the_own_work_is_not_that_of_others_and_a_process_that_is_not_waited_for_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = read_usage()
    assert before is not None
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)  # ended: its work is ours
    now = read_usage()
    assert now is not None
    assert now.own - before.own >= 0.35
    assert now.everyone - before.everyone >= 0.33  # hundredths of a second, on some of the cores

    monkeypatch.setattr(threads, "SHORTEST", 0.0)
    assert (others := measure_others(before)) is not None
    assert 0 <= others <= (os.cpu_count() or 1)


def test_work_between_two_readings() -> None:
    assert count_used_by_others(threads.Usage(1.0, 10.0, 2.0), threads.Usage(3.0, 13.0, 4.0)) == 0.5
    assert count_used_by_others(threads.Usage(1.0, 10.0, 2.0), threads.Usage(3.0, 11.0, 4.0)) == 0  # ticks are coarse


def test_a_system_that_does_not_count_leaves_the_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_STAT", Path("/nowhere/stat"))
    assert read_usage() is None


def write_groups(monkeypatch: pytest.MonkeyPatch, root: Path, own: str, files: dict[str, str]) -> None:
    """The control groups of a process, and their files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "own").write_text(own)
    monkeypatch.setattr(threads, "_GROUPS", root / "own")
    monkeypatch.setattr(threads, "_LIMITS", root)


V1 = "9:name=systemd:/\n3:cpuset:/\n1:cpu,cpuacct:/docker/1f\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),  # a container sees its own group as the top
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000\n", "job/cpu.max": "400000 100000\n"}, 4.0),
        ("0::/job/step\n", {"job/step/cpu.max": "200000 100000\n", "job/cpu.max": "400000 100000\n"}, 2.0),
        ("0::/job\n", {"other/cpu.max": "100000 100000\n"}, None),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2.5),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "broken"}, None),
        ("", {}, None),
    ],
)
def test_the_quota_of_a_container_is_the_lowest_of_its_groups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str, files: dict[str, str], quota: float | None
) -> None:
    write_groups(monkeypatch, tmp_path, own, files)
    assert read_quota() == quota


def test_a_quota_leaves_one_core_at_least_and_never_more_than_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert limit_to_quota(3) <= 3
    for share, cores in {"5000": 1, "150000": 1, "160000": 2, "200000": 2, "9900000": 16}.items():
        write_groups(monkeypatch, tmp_path, "0::/\n", {"cpu.max": f"{share} 100000"})
        assert limit_to_quota(16) == cores, share
    monkeypatch.setattr(threads, "count_cores", lambda: 8)
    write_groups(monkeypatch, tmp_path, "0::/\n", {"cpu.max": "300000 100000"})
    assert count_usable_cores() == 3
    write_groups(monkeypatch, tmp_path, "0::/\n", {"cpu.max": "max 100000"})
    assert count_usable_cores() == 8
    monkeypatch.setattr(threads, "_GROUPS", Path("/nowhere/cgroup"))
    assert count_usable_cores() == 8


@pytest.mark.parametrize(("spare", "others", "expected"), [(0, 0.0, 4), (1, 0.0, 3), (1, 2.0, 2), (9, 0.0, 1)])
def test_cores_are_left_to_other_threads_of_the_process(
    monkeypatch: pytest.MonkeyPatch, spare: int, others: float, expected: int
) -> None:
    import torch

    from cnnkit.cli import cores
    from cnnkit.cli.fit import threads as of_fit

    for name in threads.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cores, "count_usable_cores", lambda: 4)
    monkeypatch.setattr(of_fit, "count_cores", lambda: 4)
    monkeypatch.setattr(of_fit, "limit_to_quota", lambda cores: cores)
    monkeypatch.setattr(of_fit, "measure_others", lambda before: others)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with cores.watch_cores(threads.Usage(0.0, 0.0, 0.0)):
            cores.use_free_cores(spare)
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
