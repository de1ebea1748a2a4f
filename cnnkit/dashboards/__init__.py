"""What draws for TensorBoard: one picture a file; `Watch` says which, and how often."""

from cnnkit.dashboards.dead_relus import DeadReLUs
from cnnkit.dashboards.evaluation import AfterValidation, Confusion, PRCurves, Reliability
from cnnkit.dashboards.histograms import Histograms
from cnnkit.dashboards.hparams import HParams
from cnnkit.dashboards.layer_norms import LayerNorms
from cnnkit.dashboards.layout import Layout
from cnnkit.dashboards.mistakes import Mistakes
from cnnkit.dashboards.net_pictures import FeatureMaps, Kernels
from cnnkit.dashboards.projector import Projector
from cnnkit.dashboards.run_pictures import RunPictures
from cnnkit.dashboards.watch import Watch, watch_callbacks

__all__ = [
    "AfterValidation",
    "Confusion",
    "DeadReLUs",
    "FeatureMaps",
    "HParams",
    "Histograms",
    "Kernels",
    "LayerNorms",
    "Layout",
    "Mistakes",
    "PRCurves",
    "Projector",
    "Reliability",
    "RunPictures",
    "Watch",
    "watch_callbacks",
]
