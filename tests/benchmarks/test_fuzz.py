"""The fuzz command finds what it is for, and finds none of it here."""

import faulthandler
import mmap
import os
import signal
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.__main__ import main
from benchmarks.mutations import seed_images, seed_originals


def read_badly(path: Path) -> None:
    number = int(path.stem)
    if number == 1:
        faulthandler.disable()  # else the child's stack stands among the results of the tests
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 3:
        signal.pause()
    if number == 4:
        raise KeyError("left over")
    if number == 6:
        mapped = mmap.mmap(-1, 150 << 20)  # not from what the C library has kept of other tests
        mapped.write(b"\1" * (150 << 20))


@pytest.mark.slow
def test_crashes_hangs_and_memory_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "WAIT", 3.0)
    found = fuzz.fuzz(seed_originals(), read_badly, 8)
    assert found.counts == {"read": 5, "crash": 2, "hang": 1}
    assert [line[: line.index(", from")] for line in found.failures] == [
        "crash: number 1", "hang: number 3", "crash: number 4",
    ]  # fmt: skip
    assert found.megabytes > 100


@pytest.mark.slow
def test_a_case_follows_from_its_number() -> None:
    seeds = seed_images()
    suffixes = {name.rpartition(".")[2] for name in seeds}
    assert suffixes >= {"jpg", "png", "tif", "webp", "gif", "bmp", "ppm", "jp2", "avif", "tga", "ico", "dds", "qoi"}
    assert [fuzz.make_case(seeds, n) for n in range(50)] == [fuzz.make_case(seeds, n) for n in range(50)]
    assert len({fuzz.make_case(seeds, n)[1] for n in range(400)}) > 380


def counts(quick: bool) -> list[dict[str, float]]:
    tables = main(["fuzz", *(["--quick"] if quick else []), "--rounds", "1"])
    return [{name: figures[0] for name, figures in table.rows.items()} for table in tables]


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_mutated_files_crash_nothing(quick: bool) -> None:
    for rows in counts(quick):
        assert rows["crash"] == rows["hang"] == 0, rows
        assert rows["most memory of a file, MB"] < 200
        assert rows["read"] > 0
        assert rows["refused"] > 0
