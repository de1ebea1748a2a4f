"""Exported files against eager: the nets of cnnkit and ten of timm, each trained briefly, on 1,000 test images.

The files are written and run as `cnnkit export` does: ONNX in onnxruntime, torch's graph in a process without cnnkit.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import cnnkit.models
from benchmarks.common import cifar10
from cnnkit.data import ImageDataModule
from cnnkit.export.checking import predict_pixels, run_file
from cnnkit.export.deployed import DeployedNet, trace
from cnnkit.export.description import ModelDescription
from cnnkit.export.onnx_file import write_onnx
from cnnkit.export.proof import TOLERANCE, compare
from cnnkit.export.resize import resize_images
from cnnkit.export.subject import Subject
from cnnkit.export.torch_file import write_torch
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.inference.trained_net import TrainedNet

ROUNDS = 1
IMAGES, STEPS, BATCH = 1000, 60, 64
HOUSE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("MLP", {}),
    ("CNN", {}),
    ("CNN", {"channels": (16, 32), "pooling": "sum", "norm": "local_response"}),
    ("CNN", {"channels": (16, 32), "kernel_size": 4, "padding": "same", "padding_mode": "circular"}),
    ("CNN", {"channels": (16, 32), "bias": False, "pooling": "avg", "pool_dilation": 2}),
    ("CNN", {"channels": (16, 32), "pooling": "min", "dropout": 0.3}),
    ("LeNet5", {}),
    ("AlexNet", {}),
    ("NetworkInNetwork", {"width": 0.25}),
    ("GoogLeNet", {}),
    ("VGG", {"width": 0.25}),
    ("ResNet", {}),
    ("ResNet", {"block": "preact", "shortcut": "B"}),
    ("ResNet", {"block": "bottleneck", "depth": 29, "squeeze_excite": True}),
    ("SpeedNet", {}),
)
TIMM = (
    "resnet18",
    "mobilenetv3_small_100",
    "tf_efficientnet_lite0",
    "convnext_atto",
    "regnety_002",
    "densenet121",
    "ghostnet_100",
    "repvgg_a0",
    "deit_tiny_patch16_224",
    "mobileone_s0",
)
NETS = (*HOUSE, *(("TimmNet", {"name": name, "resize": 64}) for name in TIMM))
HEAD = ("net", "ONNX: largest difference", "other classes", "torch: largest difference", "other classes")
HEAD_COSTS = ("s to export, ONNX", "s to export, torch", "MB, ONNX", "MB, torch")


@dataclass
class ParityTable:
    """A row for each net, as a table of Markdown."""

    rows: list[list[str]]
    images: int

    def __str__(self) -> str:
        lines = [" | ".join(row) for row in ([*HEAD, *HEAD_COSTS], ["---", *["---:"] * 8], *self.rows)]
        return "\n".join([f"parity: {self.images:,} test images", "", *(f"| {line} |" for line in lines)])


def run(rounds: int, quick: bool) -> Iterator[ParityTable]:
    """One row for each net; further rounds repeat them."""
    data = cifar10()
    data.setup()
    count = 100 if quick else IMAGES
    nets = (NETS[1], NETS[11]) if quick else NETS
    for _ in range(rounds):
        rows = []
        for name, options in nets:
            rows.append(compare_net(name, options, data, count, steps=2 if quick else STEPS))
            print(f"  {' | '.join(rows[-1])}", flush=True)
        yield ParityTable(rows, count)


def compare_net(name: str, options: dict[str, Any], data: ImageDataModule, count: int, steps: int) -> list[str]:
    """Train a net, write and run its files, and return the row."""
    subject = make_subject(build(name, options, data.in_channels, data.image_size), data, steps)
    assert data.store is not None
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        pixels = Path(folder, "pixels.npy")
        np.save(pixels, data.store.test_images[:count].numpy())
        net = predict_pixels(subject, [pixels])
        found, costs = [], []
        for kind, file in (("onnx", Path(folder, "net.onnx")), ("torch", Path(folder, "net.pt2"))):
            began = time.perf_counter()
            write(subject, kind, file)
            costs.append((time.perf_counter() - began, file.stat().st_size / 1e6))
            found.append(compare(net, run_file(kind, file, [pixels], subject), TOLERANCE))
    cells = [cell for each in found for cell in (f"{each.largest_difference:.1e}", f"{each.differing_classes}")]
    (onnx_s, onnx_mb), (torch_s, torch_mb) = costs
    return [describe(name, options), *cells, f"{onnx_s:.1f}", f"{torch_s:.1f}", f"{onnx_mb:.2f}", f"{torch_mb:.2f}"]


def describe(name: str, options: dict[str, Any]) -> str:
    """The net in one cell: its name in timm, or its class with what differs from the defaults."""
    if name == "TimmNet":
        return f"timm `{options['name']}`"
    return f"`{name}({', '.join(f'{key}={value!r}' for key, value in options.items())})`"


def build(name: str, options: dict[str, Any], channels: int, size: int) -> nn.Module:
    """A net of cnnkit by its name."""
    torch.manual_seed(0)
    net: nn.Module = getattr(cnnkit.models, name)(channels, 10, size, **options)
    return net


def make_subject(net: nn.Module, data: ImageDataModule, steps: int, side: int | None = None) -> Subject:
    """Train a net for a few steps, so that it has reasons for its classes, and its norms have real statistics.

    Args:
        net: for images of the data's size, or of ``side`` pixels.
        data: gives images, labels and normalization.
        steps: of training.
        side: pixels to which the images are enlarged; None: as they are.
    """
    assert data.store is not None
    size = data.image_size if side is None else side
    prepared = Preprocessing(list(data.class_names), data.in_channels, size, list(data.mean), list(data.std), "crop")
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for step in range(steps):
        chosen = torch.arange(step * BATCH, (step + 1) * BATCH)
        images, labels = data.store.train_images[chosen], data.store.train_labels[chosen]
        images = resize_images(images, prepared.size, "squash").to(torch.uint8)
        loss = nn.functional.cross_entropy(net.train()(prepared.normalize(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Subject(TrainedNet(net).eval(), prepared, {}, Path("none.ckpt"), None, [])


def write(subject: Subject, kind: str, file: Path) -> None:
    """Write a file of the net."""
    data = subject.data
    described = ModelDescription(
        data.class_names, data.in_channels, list(data.size), data.resize, data.mean, data.std, data.max_pixels
    )
    program = trace(DeployedNet(subject.classifier, data))
    {"onnx": write_onnx, "torch": write_torch}[kind](program, described, file)
