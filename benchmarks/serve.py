"""`cnnkit serve` under load: many clients at once, hostile ones among them."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import cnnkit
from benchmarks.common import Table, fit, run_root
from benchmarks.serve_requests import Shot, make_shots

ROUNDS = 3
REQUESTS, CLIENTS, WARM_UP = 2000, 32, 1500
SECONDS = 10  # the server's limit for a request; a body that never ends takes it
TOLERANCE = 1e-5  # of a probability: batches of other sizes differ in the last bits


@dataclass
class Outcome:
    """What came back: reasons by kind, and the seconds that each request with an image took."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    duration: float = 0.0


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """A fresh server in each round."""
    requests = 60 if quick else REQUESTS
    with run_root() as root:
        train(root)
        [model] = root.glob("**/best.ckpt")
        predictor = cnnkit.load(model)
        latency: dict[str, list[float]] = {"median": [], "99 %": [], "slowest": []}
        memory: dict[str, list[float]] = {"before": [], "after": []}
        counts: dict[str, list[float]] = {"lost": [], "wrong": []}
        rate: dict[str, list[float]] = {"all requests": []}
        for _ in range(rounds):
            with start_server("--model", str(model), "--max_seconds", str(SECONDS)) as (port, process):
                fire(port, make_shots(predictor, 20 if quick else WARM_UP, slow=0), CLIENTS)
                memory["before"].append(read_memory(process.pid))
                found = fire(port, make_shots(predictor, requests, slow=0 if quick else 8), CLIENTS)
                memory["after"].append(read_memory(process.pid))
            for reason in {*found.lost, *found.wrong}:
                print(f"  {reason}", flush=True)
            for name, share in (("median", 50), ("99 %", 99), ("slowest", 100)):
                latency[name].append(1000 * float(np.percentile(found.seconds, share)))
            counts["lost"].append(len(found.lost))
            counts["wrong"].append(len(found.wrong))
            rate["all requests"].append(requests / found.duration)
    note = [f"{requests:,} requests of {CLIENTS} clients at once, every sixth one hostile"]
    yield Table("serve: answers that never came, or other ones than predict's", "requests", counts, notes=note)
    yield Table("serve: from the connection to the answer, of requests with images", "ms", latency)
    yield Table("serve: requests", "per second", rate)
    yield Table(f"serve: resident memory, after {WARM_UP} requests and at the end", "MB", memory)


def train(root: Path) -> None:
    """A small net on the bundled sample; how well it predicts is not the question."""
    few = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=30", "--trainer.enable_progress_bar=false"]
    fit("--data=FashionMNISTSample", *few, f"--trainer.default_root_dir={root}")


@contextlib.contextmanager
def start_server(*words: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Start `cnnkit serve` in a process of its own; yield its port and the process, and end it."""
    command = [sys.executable, "-m", "cnnkit", "serve", "--port", "0", *words]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            found = None
            while found is None and (line := process.stdout.readline()):
                found = re.search(r"http://\S+:(\d+)", line)
            if found is None:
                errors.seek(0)
                raise RuntimeError(f"the server did not start: {errors.read()}")
            yield int(found[1]), process
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def read_memory(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6  # type: ignore[index]


def fire(port: int, shots: Sequence[Shot], clients: int) -> Outcome:
    """Send all requests, from so many clients at a time, and check every answer."""
    outcome = Outcome()

    def shoot(shot: Shot) -> None:
        began = time.perf_counter()
        try:
            status, body = shot.send(port)
        except (OSError, http.client.HTTPException) as error:
            outcome.lost.append(f"{shot.name}: {error!r}")
            return
        if shot.expected is not None:
            outcome.seconds.append(time.perf_counter() - began)
        if status not in shot.statuses:
            outcome.wrong.append(f"{shot.name}: {status} {body[:200]!r}")
        elif shot.expected is not None:
            rows = [list(image["probabilities"].values()) for image in json.loads(body)["images"]]
            if not np.allclose(rows, shot.expected, rtol=0, atol=TOLERANCE):
                outcome.wrong.append(f"{shot.name}: other probabilities")
        elif status >= 400 and list(json.loads(body)) != ["error"]:
            outcome.wrong.append(f"{shot.name}: no sentence")

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(shoot, shots))
    outcome.duration = time.perf_counter() - began
    return outcome
