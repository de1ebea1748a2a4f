"""cnnkit against what others offer: the same data, split, net, optimizer and batch size, in fresh processes."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Table, fashion_mnist, ratios, take_turns
from benchmarks.peers.watch import Job

ROUNDS = 3
EPOCHS, SECONDS = 2, 60.0
HOME = ROOT / "build" / "peers"
# The label, the module, and whether it trains in bfloat16.
PEERS = {
    "cnnkit, bf16": ("cnnkit_fit", True),
    "cnnkit, float32": ("cnnkit_fit", False),
    "Lightning, float32": ("lightning_script", False),
    "Lightning, bf16": ("lightning_script", True),
    "timm, float32": ("timm_script", False),
    "timm, bf16": ("timm_script", True),
    "torchvision, float32": ("torchvision_recipe", False),
    "fastai, float32": ("fastai_script", False),
    "Keras, float32": ("keras_script", False),
    "Keras, bf16": ("keras_script", True),
}
NEEDS = {"fastai_script": "fastai", "keras_script": "keras"}
FIGURES = {
    "rate": ("training, from the second epoch on", "images/s"),
    "first_step": ("from the start of the process to the end of the first step", "s"),
    "memory": ("peak memory of the main process (VmHWM), without the loader's workers", "MB"),
    "equal_epochs": ("validation accuracy after {epochs} epochs", "%"),
    "equal_time": ("validation accuracy of the last epoch within {seconds:.0f} s of the start of the process", "%"),
    "epochs_in_time": ("epochs, with their validation, within {seconds:.0f} s", "epochs"),
}


def set_up() -> Path:
    """Make build/peers: fastai and Keras of its own, everything else from this environment by a .pth file.

    Returns:
        Its Python.
    """
    python = HOME / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(HOME)], check=True)
        (site,) = HOME.glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n", encoding="utf-8")
    missing = [name for name in NEEDS.values() if not list(HOME.glob(f"lib/python*/site-packages/{name}-*.dist-info"))]
    if missing:
        pip = [sys.executable, "-m", "pip", "--python", str(HOME), "install", "-q", *missing]
        if subprocess.run(pip, check=False).returncode:
            print(f"\npeers: could not install {', '.join(missing)}; left out", flush=True)
    return python


def write_arrays(folder: Path, quick: bool) -> None:
    """cnnkit's split as four files: uint8 images (N, 28, 28) and int64 labels (N,)."""
    data = fashion_mnist()
    data.setup()
    for part, indices in (("train", data.train_indices), ("val", data.val_indices)):
        chosen = indices[:512] if quick else indices
        np.save(folder / f"{part}_images.npy", data.store.train_images[chosen, 0].numpy())
        np.save(folder / f"{part}_labels.npy", data.store.train_labels[chosen].numpy())


def train(python: Path, module: str, job: Job) -> dict[str, float]:
    """Train one peer in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "figures.json")
        words = [module, json.dumps(dataclasses.asdict(job)), str(answer)]
        code = "import sys; from benchmarks.peers.watch import main; main(*sys.argv[1:])"
        begin = {**os.environ, "PEER_BEGAN": str(time.time())}
        done = subprocess.run(
            [python, "-c", code, *words], cwd=ROOT, env=begin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(answer.read_text(encoding="ascii"))
        return found


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """All peers in turn, a table for each figure."""
    if not Path("/proc/self/status").exists():
        print("\npeers: needs Linux's /proc/self/status; left out")
        return
    python = Path(sys.executable) if quick else set_up()
    installed = {name for name in NEEDS.values() if list(HOME.glob(f"lib/python*/site-packages/{name}-*.dist-info"))}
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        write_arrays(Path(folder), quick)
        found: dict[str, list[dict[str, float]]] = {}
        sides: dict[str, Callable[[], float]] = {}
        for label, (module, bf16) in PEERS.items():
            if module in NEEDS and (quick or NEEDS[module] not in installed):
                continue
            job = Job(folder, 1 if quick else EPOCHS, 0.0 if quick else SECONDS, bf16, quick)

            def side(label: str = label, module: str = module, job: Job = job) -> float:
                found.setdefault(label, []).append(train(python, module, job))
                print(f"  {label}: {found[label][-1]}", flush=True)
                return found[label][-1]["rate"]

            sides[label] = side
        take_turns(sides, rounds)
    yield from tables(found)


def tables(found: dict[str, list[dict[str, float]]]) -> Iterator[Table]:
    """One for each figure; the ratios are to the fastest of the others in the same round."""
    for key, (title, unit) in FIGURES.items():
        rows = {label: [figures[key] for figures in found[label]] for label in PEERS if label in found}
        over = {}
        if key == "rate":
            for precision in ("bf16", "float32"):
                ours = f"cnnkit, {precision}"
                others = [rates for label, rates in rows.items() if label.endswith(precision) and label != ours]
                best = [max(rates) for rates in zip(*others, strict=True)]
                over[f"{ours} / best other"] = ratios(rows[ours], best)
        name = title.format(epochs=EPOCHS, seconds=SECONDS)
        notes = {"rate": [versions()], "equal_time": ["0: no epoch was done by then"]}.get(key, [])
        yield Table(f"peers: {name}", unit, rows, over, notes)


def versions() -> str:
    """Of all peers."""
    own = [path.name.removesuffix(".dist-info") for path in HOME.glob("lib/python*/site-packages/*.dist-info")]
    mine = [name.replace("-", " ") for name in own if name.partition("-")[0] in NEEDS.values()]
    shared = [f"{name} {metadata.version(name)}" for name in ("lightning", "timm", "torchvision")]
    return ", ".join(shared + sorted(mine))
