"""What a run shows in TensorBoard."""

from dataclasses import dataclass, fields

from lightning.pytorch.callbacks import Callback

from cnnkit.callbacks.memory import Memory
from cnnkit.dashboards.confusion import Confusion
from cnnkit.dashboards.dead_relus import DeadReLUs
from cnnkit.dashboards.feature_maps import FeatureMaps
from cnnkit.dashboards.histograms import Histograms
from cnnkit.dashboards.kernels import Kernels
from cnnkit.dashboards.layer_norms import LayerNorms
from cnnkit.dashboards.layout import Layout
from cnnkit.dashboards.mistakes import Mistakes
from cnnkit.dashboards.pr_curves import PRCurves
from cnnkit.dashboards.projector import Projector
from cnnkit.dashboards.reliability import Reliability
from cnnkit.dashboards.run_pictures import RunPictures


@dataclass
class Watch:
    """What a run shows in TensorBoard beside loss, accuracy and learning rates.

    Each part is a callback of its own. Together, without histograms, they take at most 3 % of the training time.

    Args:
        layout: custom scalars: training and validation in one chart, all layers, all heads.
        images: a grid of augmented training images and the net's graph, once (RunPictures).
        norms: norms of gradients and weights of each layer and their ratio (LayerNorms).
        relus: share of dead ReLUs of each layer (DeadReLUs).
        histograms: of weights and gradients of each layer (Histograms).
        memory: peak of the process's and of the GPU's memory (Memory).
        confusion: confusion matrix and accuracy by class (Confusion).
        reliability: reliability diagram and expected calibration error (Reliability).
        pr_curves: precision against recall of each class (PRCurves).
        mistakes: the most confidently wrong validation images (Mistakes).
        kernels: the first convolution's kernels (Kernels).
        maps: feature maps of one validation image after every stage (FeatureMaps).
        embeddings: the last layer's features in the projector, when the run ends (Projector).
    """

    layout: bool = True
    images: bool = True
    norms: bool = True
    relus: bool = True
    histograms: bool = False
    memory: bool = True
    confusion: bool = True
    reliability: bool = True
    pr_curves: bool = True
    mistakes: bool = True
    kernels: bool = True
    maps: bool = True
    embeddings: bool = True


PARTS: dict[str, type[Callback]] = {
    "layout": Layout,
    "images": RunPictures,
    "norms": LayerNorms,
    "relus": DeadReLUs,
    "histograms": Histograms,
    "memory": Memory,
    "confusion": Confusion,
    "reliability": Reliability,
    "pr_curves": PRCurves,
    "mistakes": Mistakes,
    "kernels": Kernels,
    "maps": FeatureMaps,
    "embeddings": Projector,
}


def watch_callbacks(watch: Watch | None) -> list[Callback]:
    """The callbacks of the parts that are switched on; none for None."""
    return [PARTS[part.name]() for part in fields(watch) if getattr(watch, part.name)] if watch is not None else []
