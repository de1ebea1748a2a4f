"""Worker processes that the system ends: named, with the remedy."""

import os
import signal
from pathlib import Path

import pytest
from PIL import Image
from small_runs import SMALL, Cli
from torch import Tensor
from torch.utils.data import get_worker_info

from cnnkit.cli.errors.messages import describe_error
from cnnkit.data import image_files

REAL = image_files.read_image


def read_or_die(path: Path, *args: object) -> Tensor:
    if get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return REAL(path, *args)  # type: ignore[arg-type]


def test_a_killed_worker_is_named_with_the_remedy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        for k in range(24):
            Image.new("RGB", (16, 16), (k * 10, 5 if name == "cat" else 99, k)).save(f"photos/{name}/{k}.png")
    monkeypatch.setattr(image_files, "read_image", read_or_die)
    words = [*SMALL, "--data.batch_size=4", "--data=ImageFolder", "--data.root=photos", "--data.image_size=16"]
    ended = cli("fit", *words, "--data.num_workers=1", "--data.cache=none")
    assert ended.code == 1
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("error: data worker ")
    assert "was ended" in last
    assert "lower data.num_workers (0: none)" in last


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DataLoader worker (pid 12) is killed by signal: Killed. ", "data worker 12 was ended by the signal Killed"),
        ("DataLoader worker (pid(s) 12, 13) exited unexpectedly", "data worker 12, 13 was ended while it worked"),
        (
            "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            "the shared memory (/dev/shm) is full",
        ),
        (
            "unable to write to file </torch_12_34_5>: No space left on device (28)",
            "the shared memory (/dev/shm) is full",
        ),
        ("received 0 items of ancdata", "too many files are open"),
    ],
)
def test_what_torch_says_of_its_workers_becomes_a_line(text: str, expected: str) -> None:
    code, lines = describe_error(RuntimeError(text))
    assert (code, len(lines)) == (1, 1)
    assert expected in lines[0]
    assert "data.num_workers" in lines[0]
