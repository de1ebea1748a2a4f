"""How long threads spin and wait."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_training import tiny_fit, tiny_net

from cnnkit import ClassificationTask
from cnnkit.callbacks import Throughput, throughput
from cnnkit.threads import WaitClock, read_waiting

ROOT = Path(__file__).parents[1]
SETTINGS = """
import json, os
from cnnkit.cli import main
main(["configs"])
os.environ["OMP_DISPLAY_ENV"] = "VERBOSE"
import torch
from cnnkit.cli.fit.provenance import read_machine
print(json.dumps(read_machine()))
"""


def settings(**variables: str) -> tuple[str, dict[str, object]]:
    """What OpenMP says that it uses, and what a manifest says."""
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | variables
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS], cwd=ROOT, env=env, check=True, capture_output=True, text=True
    )
    machine = json.loads(done.stdout.splitlines()[-1])
    counts = [line.partition("=")[2].strip(" '") for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not counts:
        pytest.skip("this torch has another OpenMP than GNU's")
    return counts[0], machine


@pytest.mark.slow
def test_a_users_own_setting_is_used_and_recorded() -> None:
    assert settings(GOMP_SPINCOUNT="77")[0] == "77"
    used, machine = settings(OMP_WAIT_POLICY="PASSIVE")
    assert used == "0"
    assert (machine["OMP_WAIT_POLICY"], machine.get("GOMP_SPINCOUNT")) == ("PASSIVE", None)


def test_a_thread_that_shares_one_core_waits_for_about_half_of_the_time() -> None:
    if read_waiting() is None or not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs Linux, which counts the time that a thread waits")
    core = min(os.sched_getaffinity(0))
    script = f"""
import os, subprocess, sys, time
from cnnkit.threads import WaitClock
os.sched_setaffinity(0, {{{core}}})
other = subprocess.Popen([sys.executable, "-c", "print(1, flush=True)\\nwhile True: pass"], stdout=subprocess.PIPE)
other.stdout.readline()
clock, used = WaitClock(), time.process_time()
while time.process_time() < used + 0.3: pass
print(clock.read_share())
other.kill()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert 0.3 < float(done.stdout) <= 1.0


def test_a_starved_run_says_so_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    waited = iter(range(1000))
    monkeypatch.setattr("cnnkit.threads.read_waiting", lambda: {1: 100.0 * next(waited)})
    monkeypatch.setattr(throughput, "FIRST_LOOK", 0.0)
    clock = Throughput()
    tiny_fit(ClassificationTask(tiny_net()), clock)
    assert capsys.readouterr().err.count("this run waited for 100 % of the time") == 1
    assert clock.read_waiting() == 1.0


def test_a_run_that_has_the_cores_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cnnkit.threads.read_waiting", lambda: {1: 5.0})
    monkeypatch.setattr(throughput, "FIRST_LOOK", 0.0)
    tiny_fit(ClassificationTask(tiny_net()), Throughput())
    assert "waited" not in capsys.readouterr().err


def test_no_share_where_the_system_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnkit.threads.read_waiting", lambda: None)
    assert WaitClock().look() is None
