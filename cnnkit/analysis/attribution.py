"""Which pixels made a net decide: Grad-CAM, integrated gradients, occlusion.

Grad-CAM: Selvaraju et al. 2016, arXiv 1610.02391. Integrated gradients: Sundararajan, Taly & Yan 2017, arXiv
1703.01365. Occlusion: Zeiler & Fergus 2013, arXiv 1311.2901, section 4.2. All of them explain a logit, the number
before the softmax: a probability also moves when another class's logit does.

The net runs in evaluation mode and is left as it was; neither its weights nor their gradients are touched. How far such
maps can be believed: Adebayo et al. 2018, arXiv 1810.03292.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnkit.analysis.feature_maps import evaluating, find_module, run_plain, watching
from cnnkit.errors import UserError
from cnnkit.layers import try_out

Labels = Tensor | int | None
AT_ONCE = 64  # images that captum runs through the net together


def last_convolution(net: nn.Module, images: Tensor | None = None) -> tuple[str, nn.Module]:
    """The convolution that runs last, as (dotted name, module).

    One whose maps have a single pixel, as in squeeze-and-excitation, does not count where there are others.

    Args:
        net: any net.
        images: what to run it on; none given: one black image of the net's ``in_channels`` and ``image_size``.

    Raises:
        UserError: the net has no convolution, as an MLP, or runs none.

    Example:
        >>> from cnnkit.models import ResNet
        >>> last_convolution(ResNet(3, 10, 32))[0]
        'layer3.2.conv2'
    """
    return _last_convolution(net, _outputs(net, images))


def last_block(net: nn.Module, images: Tensor | None = None) -> tuple[str, nn.Module]:
    """The block that ends with the last convolution, as (dotted name, module): where Grad-CAM looks by default.

    It is the outermost module around the last convolution whose maps still have the size of that convolution's. In a
    plain net it is the convolution itself, in a ResNet its last stage, the sum of both ways; in GoogLeNet the last
    stage, of whose branches the last convolution is but one.

    Args:
        net: any net.
        images: as for `last_convolution`.

    Raises:
        UserError: as `last_convolution`.

    Example:
        >>> from cnnkit.models import CNN, ResNet
        >>> [last_block(net)[0] for net in (CNN(3, 10, 32), ResNet(3, 10, 32))]
        ['features.3', 'layer3']
    """
    outputs = _outputs(net, images)
    name, block = _last_convolution(net, outputs)
    size = outputs[name][-2:]
    while (outer := name.rpartition(".")[0]) and outputs.get(outer, ())[-2:] == size:
        name, block = outer, net.get_submodule(outer)
    return name, block


def grad_cam(
    net: nn.Module,
    images: Tensor,
    labels: Labels = None,
    module: str | nn.Module | None = None,
    upsample: bool = True,
) -> Tensor:
    """Grad-CAM: where a module's maps speak for a class, float (B, H, W), never negative.

    Every map of the module is weighed by its mean gradient, d logit / d pixel of the map; of the weighted sum the
    positive part is kept. The values are not scaled: those of two images can be compared.

    Args:
        net: any net with maps in it.
        images: as the net takes them, (B, C, H, W).
        labels: the classes to explain, (B,), or one for all; none given: the class that the net predicts.
        module: a module of the net or its dotted name; none given: what `last_block` finds. Of a module that runs
            several times the last run counts.
        upsample: bilinearly to the size of the images; else the map has the size of the module's.

    Raises:
        UserError: there is no such module, it gives no maps, or the logits do not depend on it.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5408, 10))
        >>> grad_cam(net, torch.zeros(2, 1, 28, 28), upsample=False).shape
        torch.Size([2, 26, 26])
    """
    name = _name_of(net, images, module)
    runs: list[Tensor] = []

    def cut(part: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not torch.is_tensor(output) or output.ndim != 4:
            raise UserError(f"{name} of {type(net).__name__} gives no maps (B, C, H, W): name another module")
        runs.append(output.detach().requires_grad_())  # gradients end here: frozen layers before it do not matter
        return runs[-1].clone()  # what comes next may change it in place

    handle = net.get_submodule(name).register_forward_hook(cut)
    try:
        with evaluating(net), _gradients():
            logits = run_plain(net, images.clone())  # a copy that remembers nothing of inference mode
            chosen = logits.gather(1, as_labels(labels, logits)[:, None]).sum()
            gradient = (
                torch.autograd.grad(chosen, runs[-1], allow_unused=True)[0] if runs and chosen.requires_grad else None
            )
    finally:
        handle.remove()
    if gradient is None:
        raise UserError(f"the logits of {type(net).__name__} do not depend on {name}: name another module")
    weights = gradient.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
    heat = (weights * runs[-1].detach()).sum(1, keepdim=True).relu()  # (B, 1, h, w)
    return (F.interpolate(heat, images.shape[-2:], mode="bilinear") if upsample else heat).squeeze(1)


def black(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The black image (1, C, H, W) as a net gets it after normalisation: the usual baseline.

    Example:
        >>> black(torch.ones(2, 1, 28, 28), mean=[0.5], std=[0.25]).unique()
        tensor([-2.])
    """
    values = [-m / s for m, s in zip(mean, std, strict=True)]
    return images.new_tensor(values).view(1, -1, 1, 1).expand(1, *images.shape[1:]).contiguous()


def integrated_gradients(
    net: nn.Module, images: Tensor, baseline: Tensor, labels: Labels = None, steps: int = 64
) -> Tensor:
    """Integrated gradients (B, C, H, W): what every pixel adds to the logit on the way from a baseline to the image.

    They are complete: their sum over an image is its logit minus the baseline's, up to the error of the numerical
    integral. A pixel that equals the baseline gets nothing: with a black baseline, black pixels never count.

    Args:
        net: any net.
        images: as the net takes them, (B, C, H, W).
        baseline: an image without information, (1, C, H, W): `black` makes the usual one.
        labels: the classes to explain, (B,), or one for all; none given: the class that the net predicts.
        steps: points of the integral (Gauss-Legendre).

    Raises:
        UserError: captum is not installed.
    """
    attr = _captum("integrated gradients")
    with evaluating(net), _gradients():
        target = as_labels(labels, _logits(net, images))
        found: Tensor = attr.IntegratedGradients(net.forward).attribute(
            images.clone().requires_grad_(),
            baselines=baseline,
            target=target,
            n_steps=steps,
            internal_batch_size=max(AT_ONCE, len(images)),
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
    """Occlusion (B, H, W): how far the logit falls when a square around a pixel is covered.

    The square slides over the image; a pixel gets the mean over all squares that cover it. Negative values: without
    this part the net would be surer.

    Args:
        net: any net.
        images: as the net takes them, (B, C, H, W).
        baseline: what the square shows, a part of this image (1, C, H, W), such as `black`. The paper's is grey.
        labels: the classes to explain, (B,), or one for all; none given: the class that the net predicts.
        window: side of the square in pixels; none given: a fifth of the image's shorter side.
        stride: pixels from one square to the next; none given: half a window, about a hundred squares.

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
    with evaluating(net), torch.no_grad():
        found: Tensor = attr.Occlusion(net.forward).attribute(
            images,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=baseline,
            target=as_labels(labels, _logits(net, images)),
            perturbations_per_eval=max(1, AT_ONCE // len(images)),
        )
    return found[:, 0]  # the same for every channel


def as_labels(labels: Labels, logits: Tensor) -> Tensor:
    """The classes to explain, int64 (B,) where the logits (B, K) are; the predicted ones where none are given."""
    if labels is None:
        return logits.argmax(1)
    return torch.as_tensor(labels, device=logits.device).expand(len(logits))


def _outputs(net: nn.Module, images: Tensor | None) -> dict[str, tuple[int, ...]]:
    """Shapes of all maps (B, C, H, W), by the module's name, in the order in which they were computed last."""
    found: dict[str, tuple[int, ...]] = {}

    def keep(name: str, number: int, output: Any) -> None:
        if torch.is_tensor(output) and output.ndim == 4:
            found.pop(name, None)
            found[name] = tuple(output.shape)

    with evaluating(net), watching(net, {name for name, _ in net.named_modules() if name}, keep), torch.no_grad():
        if images is None:
            try_out(net, lambda image: run_plain(net, image))
        else:
            run_plain(net, images[:1])
    return found


def _last_convolution(net: nn.Module, outputs: dict[str, tuple[int, ...]]) -> tuple[str, nn.Module]:
    modules: dict[str, nn.Module] = dict(net.named_modules())
    ran = [name for name in outputs if isinstance(modules[name], nn.Conv2d)]
    wide = [name for name in ran if outputs[name][-2] * outputs[name][-1] > 1]
    if not ran:
        raise UserError(
            f"{type(net).__name__} runs no convolution, and so has no maps for Grad-CAM; a net with nn.Conv2d has"
        )
    name = (wide or ran)[-1]
    return name, modules[name]


def _name_of(net: nn.Module, images: Tensor, module: str | nn.Module | None) -> str:
    if module is None:
        return last_block(net, images)[0]
    if isinstance(module, str):
        find_module(net, module)
        return module
    name = next((name for name, known in net.named_modules() if known is module), "")
    if not name:
        raise UserError(f"this {type(module).__name__} is no module of {type(net).__name__}: name one of its parts")
    return name


def _logits(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return run_plain(net, images)


@contextmanager
def _gradients() -> Iterator[None]:
    """Within it gradients are computed, whatever the caller's mode."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _captum(what: str) -> Any:
    try:
        import captum.attr
    except ImportError:
        raise UserError(f"captum, which computes {what}, is not installed: pip install 'cnnkit[explain]'") from None
    return captum.attr
