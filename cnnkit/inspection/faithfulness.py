"""How far a map can be believed: what happens to the prediction if its pixels are taken away, or alone are there.

Deletion and insertion, Petsiuk et al. 2018, arXiv 1806.07421.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnkit.inspection.attribution import Labels, resolve_labels
from cnnkit.layers.probing import as_plain_code

STEPS = 16


class Faithfulness(NamedTuple):
    """The two scores of a map, each (B,) or of one image, from 0 to 1.

    Args:
        deletion: mean probability of the class while the pixels are covered, the most important first; low is good.
        insertion: mean probability while they appear on a covered image, the most important first; high is good.
    """

    deletion: Tensor
    insertion: Tensor

    @property
    def score(self) -> Tensor:
        """Insertion minus deletion: high is good, and about 0 is what a map of random values gets."""
        return self.insertion - self.deletion


def measure_faithfulness(
    net: nn.Module,
    images: Tensor,
    maps: Tensor,
    baseline: Tensor,
    labels: Labels = None,
    steps: int = STEPS,
) -> Faithfulness:
    """Measure deletion and insertion of the maps of one method.

    Args:
        net: maps images (B, C, H, W) to logits (B, K).
        images: normalized, (B, C, H, W).
        maps: (B, H, W); the highest values are the most important pixels.
        baseline: what covers a pixel, (1, C, H, W), see `cnnkit.inspection.attribution.normalize_black`.
        labels: the classes that are explained, (B,), or one for all; by default those that the net predicts.
        steps: parts of equal size in which the pixels are covered; the mean is that of the trapezoidal rule.
    """
    order = maps.to(images.device).flatten(1).argsort(dim=1, descending=True, stable=True)
    pixels = order.shape[1]
    places = torch.arange(pixels, device=images.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places).view(len(maps), 1, *maps.shape[1:])  # 0: most important
    curves: list[list[Tensor]] = [[], []]
    with as_plain_code(net), torch.no_grad():
        chosen = resolve_labels(labels, net(images))[:, None]
        for step in range(steps + 1):
            important = rank < pixels * step / steps
            for curve, shown in zip(curves, (~important, important), strict=True):
                probabilities = net(torch.where(shown, images, baseline)).float().softmax(1)
                curve.append(probabilities.gather(1, chosen)[:, 0].cpu())
    return Faithfulness(*(torch.trapezoid(torch.stack(curve), dim=0) / steps for curve in curves))


def choose_most_faithful(scores: Mapping[str, Faithfulness], index: int) -> str | None:
    """Choose the method whose map of an image has the highest insertion minus deletion; None if there is none."""
    return max(scores, key=lambda name: float(scores[name].score[index]), default=None)
