"""Only what Lightning lacks."""

from cnnkit.callbacks.checkpoint import SafeCheckpointIO, best_and_last, load_checkpoint
from cnnkit.callbacks.ema import EMA
from cnnkit.callbacks.norms import LayerNorms
from cnnkit.callbacks.predictions import KeepPredictions
from cnnkit.callbacks.progress import EpochProgress
from cnnkit.callbacks.record import Record
from cnnkit.callbacks.stop import Diverged, StopOnNaN, StopOnSignal, StopRequested
from cnnkit.callbacks.stop_when import StopWhen
from cnnkit.callbacks.tensorboard import RunPictures
from cnnkit.callbacks.throughput import Throughput

__all__ = [
    "EMA",
    "Diverged",
    "EpochProgress",
    "KeepPredictions",
    "LayerNorms",
    "Record",
    "RunPictures",
    "SafeCheckpointIO",
    "StopOnNaN",
    "StopOnSignal",
    "StopRequested",
    "StopWhen",
    "Throughput",
    "best_and_last",
    "load_checkpoint",
]
