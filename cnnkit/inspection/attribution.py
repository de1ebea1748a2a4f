"""Which pixels decided a prediction: integrated gradients and occlusion, through captum (``cnnkit[explain]``).

Integrated gradients: Sundararajan, Taly & Yan 2017, arXiv 1703.01365. Occlusion: Zeiler & Fergus 2013, arXiv 1311.2901,
section 4.2. Both explain a logit, the number before the softmax: a probability also moves when another class's logit
does. Grad-CAM has a file of its own.

The net runs in evaluation mode and is left as it was; neither its weights nor their gradients are touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers.probing import as_plain_code

Labels = Tensor | int | None
AT_ONCE = 64 * 32**2  # pixels that captum runs through the net together: a limit on memory


def normalize_black(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return the black image (1, C, H, W) as a net gets it after normalization: the usual baseline.

    Example:
        >>> normalize_black(torch.ones(2, 1, 28, 28), mean=[0.5], std=[0.25]).unique()
        tensor([-2.])
    """
    values = [-m / s for m, s in zip(mean, std, strict=True)]
    return images.new_tensor(values).view(1, -1, 1, 1).expand(1, *images.shape[1:]).contiguous()


def integrated_gradients(
    net: nn.Module, images: Tensor, baseline: Tensor, labels: Labels = None, steps: int = 64
) -> Tensor:
    """Compute integrated gradients (B, C, H, W): what each pixel adds to the logit on the way from a baseline.

    Their sum over an image is its logit minus the baseline's, up to the error of the numerical integral. A pixel that
    equals the baseline gets 0: with a black baseline, black pixels never count.

    Args:
        baseline: an image without information, (1, C, H, W): `normalize_black` makes the usual one.
        labels: the classes to explain, (B,), or one for all; by default the class that the net predicts.
        steps: points of the integral (Gauss-Legendre).

    Raises:
        UserError: captum is not installed.
    """
    attr = _captum("integrated gradients")
    with as_plain_code(net), computing_gradients():
        target = resolve_labels(labels, _logits(net, images))
        found: Tensor = attr.IntegratedGradients(net).attribute(
            images.clone().requires_grad_(),
            baselines=baseline,
            target=target,
            n_steps=steps,
            internal_batch_size=len(images) * _repeats(images),
        )
    return found.detach()


def occlusion(
    net: nn.Module,
    images: Tensor,
    baseline: Tensor,
    labels: Labels = None,
    window: int | None = None,
    stride: int | None = None,
) -> Tensor:
    """Compute occlusion (B, H, W): how far the logit falls when a square around a pixel is covered.

    The square slides over the image; a pixel gets the mean over all squares that cover it. A negative value means that
    the logit is higher without this part.

    Args:
        baseline: what the square shows, a part of this image (1, C, H, W), see `normalize_black`; gray in the paper.
        labels: the classes to explain, (B,), or one for all; by default the class that the net predicts.
        window: side of the square in pixels; by default a fifth of the image's shorter side.
        stride: pixels from one square to the next; by default half a window, about a hundred squares.

    Raises:
        UserError: captum is not installed, or the window does not fit into the image.
    """
    attr = _captum("occlusion")
    channels, height, width = images.shape[1:]
    window = max(1, min(height, width) // 5) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= window <= min(height, width) or not 1 <= stride <= window:
        raise UserError(
            f"window is {window}, stride {stride}: give a window of 1 to {min(height, width)} pixels and a stride of 1 "
            "to a window"
        )
    with as_plain_code(net), torch.no_grad():
        found: Tensor = attr.Occlusion(net).attribute(
            images,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=baseline,
            target=resolve_labels(labels, _logits(net, images)),
            perturbations_per_eval=_repeats(images),
        )
    return found[:, 0]  # the same for every channel


def resolve_labels(labels: Labels, logits: Tensor) -> Tensor:
    """Return the classes to explain, int64 (B,), on the device of the logits (B, K); by default the predicted ones."""
    if labels is None:
        return logits.argmax(1)
    return torch.as_tensor(labels, device=logits.device).expand(len(logits))


def _repeats(images: Tensor) -> int:
    """Return how many variants of the images go through the net together."""
    return max(1, AT_ONCE // (len(images) * images.shape[-2] * images.shape[-1]))


def _logits(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = net(images)
    return logits


@contextmanager
def computing_gradients() -> Iterator[None]:
    """Compute gradients within the context, whatever the caller's mode."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _captum(what: str) -> Any:
    try:
        import captum.attr
    except ImportError:
        raise UserError(f"captum, which computes {what}, is not installed: pip install 'cnnkit[explain]'") from None
    return captum.attr
