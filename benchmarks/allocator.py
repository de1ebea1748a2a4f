"""What it is worth that freed memory stays with the process: fresh processes that train in turn."""

import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.common import Table, fresh, ratios, take_turns
from cnnkit.allocator import keep_freed_memory
from cnnkit.models import ResNet
from cnnkit.precision import default_precision

ROUNDS = 7
BATCH = 128


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """ResNet-20 on batches of noise; Linux with glibc only."""
    if not keep_freed_memory():
        print("\nallocator: needs glibc; left out")
        return
    precision = default_precision("cpu").precision
    faults: dict[str, list[float]] = {"kept": [], "given back": []}

    def side(name: str) -> float:
        words = f"{name == 'kept'}, {2 if quick else 40}, {precision == 'bf16-mixed'}"
        rate, pages = map(float, fresh("-c", f"from benchmarks.allocator import child; child({words})").split())
        faults[name].append(pages)
        return rate

    rows = take_turns({name: lambda name=name: side(name) for name in faults}, rounds)
    found = [f"{name}: {sorted(pages)[len(pages) // 2]:,.0f}" for name, pages in faults.items()]
    yield Table(
        f"allocator: ResNet-20 on 3x32x32, batches of {BATCH}, {precision}",
        "images/s",
        rows,
        {"kept / given back": ratios(rows["kept"], rows["given back"])},
        [f"page faults a step, {', '.join(found)}"],
    )


def child(keep: bool, steps: int, autocast: bool) -> None:
    """What the fresh process does: train, and print images a second and page faults a step."""
    import resource

    if keep:
        keep_freed_memory()
    net = ResNet(3, 10, (32, 32), depth=20).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    faults, began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - began
    print(steps * BATCH / seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / steps)
