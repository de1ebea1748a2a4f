"""Callbacks that steer and record a training; those that draw are in `cnnkit.dashboards`."""

from importlib import import_module
from typing import Any

from cnnkit.callbacks.best import BestCheckpoint, build_checkpoints, find_best_checkpoint
from cnnkit.callbacks.checkpoint import SafeCheckpointIO
from cnnkit.callbacks.corrected import ModelPruning, SpikeDetection
from cnnkit.callbacks.ema import EMA
from cnnkit.callbacks.idle_hooks import SkipIdleHooks
from cnnkit.callbacks.memory import Memory
from cnnkit.callbacks.monitors import CheckMonitors
from cnnkit.callbacks.predictions import KeepPredictions
from cnnkit.callbacks.progress import EpochProgress
from cnnkit.callbacks.record import Record
from cnnkit.callbacks.stop import Diverged, StopOnNaN, StopOnSignal, StopRequested, WarnOnNaN
from cnnkit.callbacks.stop_when import StopWhen
from cnnkit.callbacks.throughput import Throughput
from cnnkit.callbacks.tuned import Tuned
from cnnkit.callbacks.whitening import Whitening
from cnnkit.weights.checkpoints import load_checkpoint

__all__ = [
    "EMA",
    "BestCheckpoint",
    "CheckMonitors",
    "Diverged",
    "EpochProgress",
    "KeepPredictions",
    "Memory",
    "ModelPruning",
    "Record",
    "SafeCheckpointIO",
    "SkipIdleHooks",
    "SpikeDetection",
    "StopOnNaN",
    "StopOnSignal",
    "StopRequested",
    "StopWhen",
    "Throughput",
    "Tuned",
    "WarnOnNaN",
    "Whitening",
    "build_checkpoints",
    "find_best_checkpoint",
    "load_checkpoint",
]


def __getattr__(name: str) -> Any:
    """The callbacks that draw, by their paths of version 0.1.0: configurations of old runs have them."""
    if name not in (dashboards := import_module("cnnkit.dashboards")).__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(dashboards, name)
