"""Only what Lightning lacks."""

from cnnkit.callbacks.activations import DeadReLUs
from cnnkit.callbacks.best import BestCheckpoint, best_and_last, best_of
from cnnkit.callbacks.checkpoint import SafeCheckpointIO
from cnnkit.callbacks.checkpoint_reading import load_checkpoint
from cnnkit.callbacks.ema import EMA
from cnnkit.callbacks.evaluation import AfterValidation, Confusion, PRCurves, Reliability
from cnnkit.callbacks.histograms import Histograms
from cnnkit.callbacks.hparams import HParams
from cnnkit.callbacks.layout import Layout
from cnnkit.callbacks.memory import Memory
from cnnkit.callbacks.mistakes import Mistakes
from cnnkit.callbacks.monitors import CheckMonitors
from cnnkit.callbacks.net_pictures import FeatureMaps, Kernels
from cnnkit.callbacks.norms import LayerNorms
from cnnkit.callbacks.predictions import KeepPredictions
from cnnkit.callbacks.progress import EpochProgress
from cnnkit.callbacks.projector import Projector
from cnnkit.callbacks.pruning import ModelPruning
from cnnkit.callbacks.record import Record
from cnnkit.callbacks.spikes import SpikeDetection
from cnnkit.callbacks.stop import Diverged, StopOnNaN, StopOnSignal, StopRequested
from cnnkit.callbacks.stop_when import StopWhen
from cnnkit.callbacks.tensorboard import RunPictures
from cnnkit.callbacks.throughput import Throughput
from cnnkit.callbacks.tuned import Tuned
from cnnkit.callbacks.warn_on_nan import WarnOnNaN
from cnnkit.callbacks.watch import Watch, watch_callbacks

__all__ = [
    "EMA",
    "AfterValidation",
    "BestCheckpoint",
    "CheckMonitors",
    "Confusion",
    "DeadReLUs",
    "Diverged",
    "EpochProgress",
    "FeatureMaps",
    "HParams",
    "Histograms",
    "KeepPredictions",
    "Kernels",
    "LayerNorms",
    "Layout",
    "Memory",
    "Mistakes",
    "ModelPruning",
    "PRCurves",
    "Projector",
    "Record",
    "Reliability",
    "RunPictures",
    "SafeCheckpointIO",
    "SpikeDetection",
    "StopOnNaN",
    "StopOnSignal",
    "StopRequested",
    "StopWhen",
    "Throughput",
    "Tuned",
    "WarnOnNaN",
    "Watch",
    "best_and_last",
    "best_of",
    "load_checkpoint",
    "watch_callbacks",
]
