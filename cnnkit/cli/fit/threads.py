"""Settles how many threads a command computes with, before anything is built: numbers depend on it.

Without a setting of the user's, a command on a CPU leaves those cores alone that other processes use, and takes no more
than its container may use. A resume takes the number that its run had. Several ranks are left to Lightning, which
divides the cores among them.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from jsonargparse import Namespace

from cnnkit.notices import say
from cnnkit.precision import resolve_device
from cnnkit.runs import RunFolder
from cnnkit.threads import (
    THREAD_VARIABLES,
    Usage,
    choose_threads,
    count_cores,
    describe_choice,
    describe_quota,
    limit_to_quota,
    measure_others,
)


@contextlib.contextmanager
def settle_threads(before: Usage | None, trainer: Namespace, resumed: RunFolder | None) -> Iterator[dict[str, Any]]:
    """Within it torch computes with the number of threads that this run should have.

    Args:
        before: what the cores had done at the start; None leaves torch's threads alone, as in a program of the user's.
        trainer: the trainer's configuration.
        resumed: the run that goes on.

    Yields:
        What the manifest's ``machine`` says about the choice, if other processes or a container's quota decided it.
    """
    facts: dict[str, Any] = {}
    threads = most = torch.get_num_threads()
    if before is not None and leaves_threads_to_fit(before, trainer):
        recorded = read_threads(resumed) if resumed else None
        if recorded is not None and recorded <= count_cores():
            threads = recorded
            if threads < most:
                say(f"threads {threads} of {most}, as {resumed} had; OMP_NUM_THREADS={most} decides otherwise")
        else:
            threads, facts = choose_free_threads(before, most, measure=not resumed)
    if threads == most:
        yield facts
        return
    torch.set_num_threads(threads)
    try:
        yield facts
    finally:
        torch.set_num_threads(most)


def choose_free_threads(before: Usage | None, most: int, *, measure: bool = True) -> tuple[int, dict[str, Any]]:
    """Choose the number of threads by a container's quota and by what others use, and say in a line what decides it."""
    limit = limit_to_quota(most)
    others = measure_others(before) if measure and before is not None and limit > 1 else None
    threads = limit if others is None else choose_threads(limit, count_cores(), others)
    if threads < limit and others is not None:
        say(describe_choice(threads, most, others))
        return threads, {"cores_used_by_others": round(others, 2)}
    if threads < most:
        say(describe_quota(threads, most))
        return threads, {"cores_of_quota": threads}
    return threads, {}


def leaves_threads_to_fit(before: Usage | None, trainer: Namespace) -> bool:
    """Whether the user has left the number of threads to the command, and one process computes on a CPU."""
    return before is not None and is_left_to_us() and _is_one_cpu(trainer)


def is_left_to_us() -> bool:
    """Whether no variable of the user's decides the number of threads."""
    return not any(name in os.environ for name in THREAD_VARIABLES)


def read_threads(run: RunFolder) -> int | None:
    """Read how many threads a run had last; None if it is not recorded."""
    manifest = run.manifest_if_readable()
    machine, resumes = manifest.get("machine"), manifest.get("resumes")
    found = [machine.get("threads")] if isinstance(machine, dict) else []
    for resume in resumes if isinstance(resumes, list) else []:
        pair = (resume.get("changes") or {}).get("machine.threads") if isinstance(resume, dict) else None
        found += pair[1:] if isinstance(pair, list) else []
    counts = [count for count in found if isinstance(count, int) and count > 0]
    return counts[-1] if counts else None


def find_other_threads(run: RunFolder, trainer: Namespace) -> dict[str, tuple[int, int]]:
    """Compare the threads of a resume with those that its run had, and say in a line if they differ.

    Returns:
        Old and new number, as a change of the resume; empty if they are equal, or nothing is computed on a CPU.
    """
    before, now = read_threads(run), torch.get_num_threads()
    if before is None or before == now or not _is_one_cpu(trainer):
        return {}
    say(
        f"threads {now}, and {run} had {before}: from here on its numbers are not those of a run without a stop; "
        f"OMP_NUM_THREADS={before} keeps them"
    )
    return {"machine.threads": (before, now)}


def _is_one_cpu(trainer: Namespace) -> bool:
    """Whether one process computes on a CPU."""
    name = trainer.accelerator
    alone = str(trainer.devices) in ("auto", "1") and trainer.num_nodes == 1 and "LOCAL_RANK" not in os.environ
    return alone and isinstance(name, str) and resolve_device(name) == "cpu"
