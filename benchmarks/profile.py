"""Where the time of a training step goes: by kind of operator, with torch's profiler, and the share of the peak."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity

from benchmarks.common import Table
from cnnkit.allocator import keep_freed_memory
from cnnkit.inspection.complexity import complexity
from cnnkit.models import CNN, LeNet5, ResNet, SpeedNet, TimmNet
from cnnkit.precision import default_precision

ROUNDS = 3
BATCH = 64
KINDS = {
    "convolution": ("conv",),
    "matrix product": ("mm", "linear", "matmul"),
    "batch norm": ("batch_norm",),
    "pooling": ("pool", "mean"),
    "dropout": ("bernoulli", "dropout", "random_", "aten::lt"),
    "activation": ("relu", "threshold", "silu", "sigmoid", "tanh", "hardtanh"),
    "loss": ("softmax", "nll", "cross_entropy"),
    "optimizer": ("adam", "sgd", "foreach"),
    "copy and cast": ("copy", "_to", "to_", "contiguous", "fill", "zero"),
}


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Every net in turn, on batches of noise of its usual shape."""
    keep_freed_memory()  # as fit does; else page faults count as copies
    peaks = {kind: measure_peak(kind, 256 if quick else 2048) for kind in (torch.bfloat16, torch.float32)}
    for name, (net, shape) in list(build_nets().items())[: 1 if quick else None]:
        shares: dict[str, list[float]] = defaultdict(list)
        rates, used = [], []
        autocast = default_precision("cpu", net).precision == "bf16-mixed"
        flops = 3 * 2 * BATCH * count_macs(net, shape)  # forward pass, and the gradients of inputs and of weights
        step = make_step(net, shape, autocast)
        for _ in range(rounds):
            step()
            rates.append(time_step(step, 1 if quick else 10))
            used.append(100 * flops / rates[-1] / peaks[torch.bfloat16 if autocast else torch.float32])
            found = profile(step, 1 if quick else 10)
            for kind in (*KINDS, "other"):
                shares[kind].append(100 * found.get(kind, 0.0))
        rows = dict(sorted(shares.items(), key=lambda row: -max(row[1])))
        gflops = ", ".join(f"{str(kind)[6:]} {peak / 1e9:,.0f}" for kind, peak in peaks.items())
        yield Table(
            f"profile: {name}, batches of {BATCH}, {'bf16' if autocast else 'float32'}: share of a step's operators",
            "%",
            {kind: found for kind, found in rows.items() if max(found) > 0.5} | {"share of the peak": used},
            notes=[
                f"a step takes {1e3 * min(rates):.1f} ms; peak of a matrix product, GFLOP/s: {gflops}",
                "the peak is that of the precision that fit chooses; FLOP: six for each multiply-accumulate",
            ],
        )


def build_nets() -> dict[str, tuple[nn.Module, tuple[int, int, int]]]:
    """The nets that the page of results has, with the shape of an image."""
    small, color = (1, 28, 28), (3, 32, 32)
    return {
        "LeNet-5": (LeNet5(1, 10, 28), small),
        "CNN": (CNN(), small),
        "CNN with dropout": (CNN(dropout=0.5), small),
        "ResNet-20": (ResNet(3, 10, 32, depth=20), color),
        "EfficientNet-Lite0": (TimmNet(3, 10, 96, "tf_efficientnet_lite0", pretrained=False), (3, 96, 96)),
        "SpeedNet": (SpeedNet(3, 10, 32), color),
    }


def make_step(net: nn.Module, shape: tuple[int, ...], autocast: bool) -> Callable[[], None]:
    """A training step."""
    net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    images = torch.randn(BATCH, *shape).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def count_macs(net: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of an image; torch's counter takes the gradient of a depthwise filter for a full one."""
    return complexity(net, shape).macs


def profile(step: Callable[[], None], steps: int) -> dict[str, float]:
    """The share of the operators' time by kind, without the time of the operators that each calls."""
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    times: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.key.startswith(("aten::", "mkldnn", "torch::")):
            times[find_kind(event.key)] += event.self_cpu_time_total
    total = sum(times.values())
    return {kind: spent / total for kind, spent in times.items()}


def find_kind(operator: str) -> str:
    """The first kind that has a part of the operator's name."""
    return next((kind for kind, parts in KINDS.items() if any(part in operator for part in parts)), "other")


def time_step(step: Callable[[], None], steps: int) -> float:
    """Seconds of a step, by the clock on the wall."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - began) / steps


def measure_peak(kind: torch.dtype, size: int) -> float:
    """FLOP a second of a matrix product: the best of five."""
    one = torch.randn(size, size).to(kind)
    return 2 * size**3 / min(time_step(lambda: torch.mm(one, one), 1) for _ in range(5))
