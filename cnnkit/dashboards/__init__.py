"""What draws for TensorBoard: one picture a file; `Watch` says which, and how often."""

from cnnkit.dashboards.after_validation import AfterValidation
from cnnkit.dashboards.confusion import Confusion
from cnnkit.dashboards.dead_relus import DeadReLUs
from cnnkit.dashboards.feature_maps import FeatureMaps
from cnnkit.dashboards.histograms import Histograms
from cnnkit.dashboards.hparams import HParams
from cnnkit.dashboards.kernels import Kernels
from cnnkit.dashboards.layer_norms import LayerNorms
from cnnkit.dashboards.layout import Layout
from cnnkit.dashboards.mistakes import Mistakes
from cnnkit.dashboards.pr_curves import PRCurves
from cnnkit.dashboards.projector import Projector
from cnnkit.dashboards.reliability import Reliability
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
