"""Mutated images and originals through cnnkit's readers: crashes, hangs and memory, in forked children."""

import contextlib
import json
import os
import random
import resource
import select
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import Table
from benchmarks.memory import kilobytes
from benchmarks.mutations import mutate, seed_images, seed_originals
from cnnkit.data.images.decode import UnreadableImage, read_image
from cnnkit.data.originals.formats import parse_idx, read_file

ROUNDS = 1
IMAGES, ORIGINALS = 2500, 3000
SECONDS = 10.0  # of computing, beyond which a file counts as a hang
WAIT = 60.0  # seconds by the clock, for a child that waits for something, or is kept waiting by a busy machine
LIMIT = 1 << 20  # bytes that an original may hold
ADDRESSES = 8 << 30  # bytes a child may ask for before the system refuses
Read = Callable[[Path], None]


@dataclass
class Outcome:
    """What became of many mutated files."""

    counts: Counter[str] = field(default_factory=Counter)  # read, refused, crash, hang
    failures: list[str] = field(default_factory=list)
    megabytes: float = 0.0  # most that a file has taken
    seconds: float = 0.0  # longest
    slowest: str = ""


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """One table of images, one of originals; a round has other mutations."""
    for name, seeds, read, total in (
        ("images", seed_images(), read_as_image, IMAGES),
        ("originals", seed_originals(), read_as_original, ORIGINALS),
    ):
        count = min(total, 60) if quick else total
        outcomes = [fuzz(seeds, read, count, first=number * total) for number in range(rounds)]
        rows = {kind: [float(each.counts[kind]) for each in outcomes] for kind in ("read", "refused", "crash", "hang")}
        rows["most memory of a file, MB"] = [each.megabytes for each in outcomes]
        rows["longest, s"] = [each.seconds for each in outcomes]
        failures = [line for each in outcomes for line in each.failures]
        slowest = max(outcomes, key=lambda each: each.seconds).slowest
        notes = [f"longest: {slowest}", *failures[:20]]
        yield Table(f"fuzz: {count:,} mutated {name} of {len(seeds)} kinds", "", rows, {}, notes)


def fuzz(seeds: dict[str, bytes], read: Read, count: int, first: int = 0) -> Outcome:
    """Read so many mutated files, in children that are started again when one ends or hangs.

    Args:
        seeds: whole files by name.
        read: reads a file; it may raise what a refusal raises and nothing else.
        count: how many.
        first: number of the first, which its mutation follows from.
    """
    outcome, number = Outcome(), first
    with tempfile.TemporaryDirectory() as folder:
        while number < first + count:
            number = _run_child(seeds, read, range(number, first + count), Path(folder), outcome)
    return outcome


def read_as_image(path: Path) -> None:
    """As a training image; `UnreadableImage` is a refusal."""
    image = read_image(path, 3, (32, 32))
    assert image.shape == (3, 32, 32)


def read_as_original(path: Path) -> None:
    """As a part of MNIST, which is parsed before its hash is known; ``ValueError`` is a refusal."""
    parse_idx(read_file(path, LIMIT))


def make_case(seeds: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """The name and content of a mutated file, which follow from its number."""
    rng = random.Random(number)
    names = list(seeds)
    name = names[number % len(names)]
    return name, mutate(seeds[name], seeds[rng.choice(names)], rng)


def _run_child(seeds: dict[str, bytes], read: Read, numbers: range, folder: Path, outcome: Outcome) -> int:
    """Have a child read the files; return the number of the first that it has not come to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(seeds, read, numbers, folder, writing)
    os.close(writing)
    number, rest = numbers.start, b""
    try:
        while number < numbers.stop:
            if not _answers(reading, child):
                _count(outcome, "hang", seeds, number, f"more than {SECONDS:.0f} s")
                return number + 1
            piece = os.read(reading, 1 << 16)
            if not piece:
                _count(outcome, "crash", seeds, number, "the process ended")
                return number + 1
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                _take(outcome, seeds, number, json.loads(line))
                number += 1
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return number


def _answers(reading: int, child: int) -> bool:
    """Wait until the child has reported a file, or has computed too long for it."""
    start, computed = time.monotonic(), _computed(child)
    while not select.select([reading], [], [], min(SECONDS, WAIT) / 10)[0]:
        if _computed(child) - computed > SECONDS or time.monotonic() - start > WAIT:
            return False
    return True


def _computed(child: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _take(outcome: Outcome, seeds: dict[str, bytes], number: int, line: dict[str, Any]) -> None:
    outcome.megabytes = max(outcome.megabytes, line["megabytes"])
    if line["seconds"] > outcome.seconds:
        outcome.seconds, outcome.slowest = line["seconds"], f"number {number}, from {make_case(seeds, number)[0]}"
    _count(outcome, line["outcome"], seeds, number, line["reason"])


def _count(outcome: Outcome, kind: str, seeds: dict[str, bytes], number: int, reason: str) -> None:
    outcome.counts[kind] += 1
    if kind in ("crash", "hang"):
        outcome.failures.append(f"{kind}: number {number}, from {make_case(seeds, number)[0]}: {reason}")


def _work(seeds: dict[str, bytes], read: Read, numbers: range, folder: Path, writing: int) -> None:
    """The child: read and report, one line a file; it never returns."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes what it thinks of a file
        for number in numbers:
            name, content = make_case(seeds, number)
            path = folder / f"{number}{Path(name).suffix}"
            path.write_bytes(content)
            os.write(writing, json.dumps(_judge(read, path)).encode() + b"\n")
            path.unlink()
    finally:
        os._exit(0)


def _judge(read: Read, path: Path) -> dict[str, Any]:
    before, start = _reset_peak(), time.process_time()
    outcome, reason = "read", ""
    try:
        read(path)
    except UnreadableImage as error:
        outcome = "refused" if len(str(error).splitlines()) == 1 else "crash"
    except ValueError:
        outcome = "refused" if read is read_as_original else "crash"
    except BaseException as error:
        outcome, reason = "crash", f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    return {
        "outcome": outcome,
        "reason": reason[:200],
        "seconds": seconds,
        "megabytes": max(0.0, kilobytes("status", "VmHWM") - before) * 1024 / 1e6,
    }


def _reset_peak() -> float:
    """Set the peak of this process's memory to what it has now, in kilobytes; Linux alone knows how."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return kilobytes("status", "VmRSS")
