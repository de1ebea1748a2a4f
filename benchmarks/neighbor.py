"""What a busy neighbor costs, by how long OpenMP's threads spin at a barrier: fresh processes that train in turn."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.common import ROOT, Table, ratios, take_turns
from cnnkit.threads import choose_threads, count_cores, measure_others, read_usage

ROUNDS = 5
BATCH, THREADS = 64, 2
CHOSEN = "as fit chooses"
NAMES = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SITUATIONS = ("alone", "beside one busy process", "two at the same time")
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    **{f"spin count {count:,}": {"GOMP_SPINCOUNT": str(count)} for count in (100_000, 30_000, 10_000, 1_000)},
    "no spinning": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    CHOSEN: {},
}


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """All settings in all situations, one after the other in each round."""
    seconds = 0.2 if quick else 3.0
    settings = list(SETTINGS)[:: 3 if quick else 1]
    sides = {
        f"{setting}, {situation}": lambda situation=situation, setting=setting: rate(
            situation, SETTINGS[setting], seconds, chosen=setting == CHOSEN
        )
        for situation in SITUATIONS
        for setting in settings
    }
    found = take_turns(sides, rounds)
    first = found[f"default, {SITUATIONS[0]}"]
    for situation in SITUATIONS:
        rows = {setting: found[f"{setting}, {situation}"] for setting in settings}
        yield Table(
            f"neighbor: CNN on the sample, batches of {BATCH}, {THREADS} threads, bf16, {situation}",
            "images/s",
            rows,
            {f"{setting} / default alone": ratios(rows[setting], first) for setting in settings},
            ["two at the same time: the sum of both"],
        )


def rate(situation: str, setting: dict[str, str], seconds: float, *, chosen: bool) -> float:
    """Images a second of a training, or of two; with ``chosen`` each sees what is free while it imports torch."""
    variables = {key: value for key, value in os.environ.items() if key not in NAMES}
    variables |= {"OMP_NUM_THREADS": str(THREADS), **setting}
    words = [sys.executable, "-c", f"from benchmarks.neighbor import child; child({seconds}, {chosen})"]
    with ExitStack() as held:
        if situation == "beside one busy process":
            busy = held.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            held.callback(busy.kill)  # runs first
        trainings = [
            held.enter_context(
                subprocess.Popen(
                    words, cwd=ROOT, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(2 if situation == "two at the same time" else 1)
        ]
        for training in trainings:  # all are ready before one begins
            if training.stdout is None or training.stdout.readline() != "ready\n":
                raise RuntimeError("a training did not start")
        return sum(float(training.communicate("go\n")[0]) for training in start_all(trainings))


def start_all(trainings: list["subprocess.Popen[str]"]) -> list["subprocess.Popen[str]"]:
    """Let all begin before one is waited for."""
    for training in trainings[1:]:
        if training.stdin is not None:
            training.stdin.write("go\n")
            training.stdin.flush()
    return trainings


def child(seconds: float, chosen: bool) -> None:
    """What a fresh process does: train, and print images a second."""
    before = read_usage()
    import torch
    from torch.nn import functional as F

    from cnnkit.data import FashionMNISTSample
    from cnnkit.models import CNN

    data = FashionMNISTSample(batch_size=BATCH)
    data.prepare_data()
    data.setup("fit")
    if chosen and before is not None and (others := measure_others(before)) is not None:
        torch.set_num_threads(choose_threads(THREADS, count_cores(), others))
    net = CNN().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def train(until: float) -> int:
        steps = 0
        while True:
            for batch in data.train_dataloader():
                images, labels = data.prepare(batch, training=True)
                with torch.autocast("cpu", torch.bfloat16):
                    loss = F.cross_entropy(net(images), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                steps += 1
                if time.perf_counter() > until:
                    return steps

    train(time.perf_counter())
    train(time.perf_counter() + seconds / 4)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    steps = train(began + seconds)
    print(steps * BATCH / (time.perf_counter() - began))
