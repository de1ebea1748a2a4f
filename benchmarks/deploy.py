"""Images a second of a net: eager, compiled, as torch's graph, as ONNX and as int8. Pixels in, probabilities out."""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import cnnkit.models
from benchmarks.common import Table, cifar10, fashion_mnist, ratios, take_turns
from benchmarks.parity import make_subject, write
from cnnkit.data import ImageDataModule
from cnnkit.export.deployed import DeployedNet
from cnnkit.export.int8 import CALIBRATION_IMAGES, quantize
from cnnkit.export.onnx_file import open_onnx
from cnnkit.export.resize import resize_images
from cnnkit.export.torch_file import open_torch

ROUNDS = 7
SECONDS = 2.0  # that a side runs in a round
STEPS = 20  # of training, for norms with real statistics
LECTURE = {"channels": (5, 10), "kernel_size": 5, "hidden_sizes": (32,)}
NETS: dict[str, tuple[str, dict[str, Any], int]] = {  # class, arguments, side of the images in pixels
    "ResNet-20": ("ResNet", {}, 32),
    "the lecture's CNN": ("CNN", LECTURE, 28),
    "timm resnet18": ("TimmNet", {"name": "resnet18"}, 128),
}


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """A table for each net and batch."""
    for title, (name, options, side) in list(NETS.items())[1 if quick else 0 : 2 if quick else None]:
        data = fashion_mnist() if side == 28 else cifar10()
        data.setup()
        yield from compare(title, name, options, side, data, rounds, quick)


def compare(
    title: str, name: str, options: dict[str, Any], side: int, data: ImageDataModule, rounds: int, quick: bool
) -> Iterator[Table]:
    """One net's tables: a single image, and 64 at a time."""
    assert data.store is not None
    torch.manual_seed(0)
    net: nn.Module = getattr(cnnkit.models, name)(data.in_channels, 10, side, **options)
    subject = make_subject(net, data, 1 if quick else STEPS, side)
    count = 64 if quick else CALIBRATION_IMAGES
    images = resize_images(data.store.train_images[:count], (side, side), "squash").to(torch.uint8)
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        files = {kind: Path(folder, f"net{kind}") for kind in (".onnx", ".pt2", ".int8.onnx")}
        write(subject, "onnx", files[".onnx"])
        write(subject, "torch", files[".pt2"])
        quantize(files[".onnx"], images.numpy(), files[".int8.onnx"])
        whole = DeployedNet(subject.classifier, subject.data).eval()
        ways: dict[str, Callable[[Tensor], Tensor]] = {
            "eager": whole,
            "torch.compile": torch.compile(whole),
            "torch.export": open_torch(files[".pt2"]).predict_step,
            "ONNX": open_onnx(files[".onnx"]).predict_step,
            "ONNX, int8": open_onnx(files[".int8.onnx"]).predict_step,
        }
        for batch in (1, 64):
            part = images[:batch].contiguous()
            sides = {way: partial(rate, predict, part, 0.05 if quick else SECONDS) for way, predict in ways.items()}
            take_turns(sides, 1)  # compiles, warms the caches
            rows = take_turns(sides, rounds)
            over = {f"{way} / eager": ratios(rows[way], rows["eager"]) for way in ways if way != "eager"}
            size = ", ".join(f"{kind} {file.stat().st_size / 1e6:.2f} MB" for kind, file in files.items())
            yield Table(f"deploy: {title}, {side} pixels, batch {batch}", "images/s", rows, over, [size])


def rate(predict: Callable[[Tensor], Tensor], images: Tensor, seconds: float) -> float:
    """Images a second of one batch after the other."""
    with torch.inference_mode():
        began, batches = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            predict(images)
            batches += 1
    return batches * len(images) / (time.perf_counter() - began)
