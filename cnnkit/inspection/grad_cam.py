"""Class activation maps from gradients, and the layers that they use.

Grad-CAM: Selvaraju et al. 2016, arXiv 1610.02391. HiResCAM: Draelos & Carin 2020, arXiv 2011.08891. LayerCAM: Jiang et
al. 2021, IEEE Transactions on Image Processing 30. How far such maps can be believed: Adebayo et al. 2018, arXiv
1810.03292.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.inspection.attribution import Labels, computing_gradients, resolve_labels
from cnnkit.inspection.feature_maps import watching
from cnnkit.layers.probing import as_plain_code, find_module, run_on_black_image

CamName = Literal["Grad-CAM", "HiResCAM", "LayerCAM"]
# From the gradient (B, C, h, w) what each value of the maps is multiplied with, before the sum over the channels.
_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "Grad-CAM": lambda gradient: gradient.mean((2, 3), keepdim=True),
    "HiResCAM": lambda gradient: gradient,
    "LayerCAM": torch.relu,
}


def last_convolution(net: nn.Module, images: Tensor | None = None) -> tuple[str, nn.Module]:
    """Find the convolution that runs last, as (dotted name, module).

    One whose maps have a single pixel, as in squeeze-and-excitation, does not count where there are others.

    Args:
        images: what to run it on; by default one black image of the net's ``in_channels`` and ``image_size``.

    Raises:
        UserError: the net has no convolution, as an MLP, or runs none.

    Example:
        >>> from cnnkit.models import ResNet
        >>> last_convolution(ResNet(3, 10, 32))[0]
        'layer3.2.conv2'
    """
    return _last_convolution(net, _outputs(net, images))


def last_block(net: nn.Module, images: Tensor | None = None, least: int = 1) -> tuple[str, nn.Module]:
    """Find the block that ends with the last convolution, as (dotted name, module): the default of `grad_cam`.

    It is the outermost module around the last convolution whose maps still have the size of that convolution's. In a
    plain net it is the convolution itself, in a ResNet its last stage, with its skip connections; in GoogLeNet
    the last stage with all its branches.

    Args:
        images: as for `last_convolution`.
        least: the last convolution whose maps have at least so many pixels on their shorter side, if there is one.

    Raises:
        UserError: as `last_convolution`.

    Example:
        >>> from cnnkit.models import CNN, ResNet
        >>> [last_block(net)[0] for net in (CNN(3, 10, 32), ResNet(3, 10, 32))]
        ['features.3', 'layer3']
    """
    outputs = _outputs(net, images)
    name, block = _last_convolution(net, outputs, least)
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
    kind: CamName = "Grad-CAM",
) -> Tensor:
    """Compute the class activation map of images (B, C, H, W): where maps support a class, float (B, H, W) >= 0.

    The sum over the channels of weights times maps, of which the positive part is kept. The weights are gradients, d
    logit / d pixel of the map: in Grad-CAM their mean over the pixels of a map, in HiResCAM those of each pixel, and in
    LayerCAM their positive part. Where a mean over all pixels follows the module, Grad-CAM and HiResCAM differ by a
    factor alone. The values are not scaled: those of two images can be compared.

    Args:
        labels: the classes to explain, (B,), or one for all; by default the class that the net predicts.
        module: a module of the net or its dotted name; by default what `last_block` finds. Of a module that runs
            several times the last run counts.
        upsample: bilinearly to the size of the images; else the map has the size of the module's.
        kind: of the weights.

    Raises:
        UserError: there is no such kind or module, it gives no maps, or the logits do not depend on it.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5408, 10))
        >>> grad_cam(net, torch.zeros(2, 1, 28, 28), upsample=False).shape
        torch.Size([2, 26, 26])
    """
    if kind not in _WEIGHTS:
        raise UserError(f"kind is {kind!r}: choose one of {', '.join(get_args(CamName))}")
    name = _name_of(net, images, module)
    runs: list[Tensor] = []
    gradient: Tensor | None = None

    def cut(part: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not torch.is_tensor(output) or output.ndim != 4:
            raise UserError(f"{name} of {type(net).__name__} gives no maps (B, C, H, W): name another module")
        runs.append(output.detach().requires_grad_())  # gradients stop here, so layers before it may be frozen
        return runs[-1].clone()  # what comes next may change it in place

    handle = net.get_submodule(name).register_forward_hook(cut)
    try:
        with as_plain_code(net), computing_gradients():
            logits = net(images.clone())  # a copy that is no inference tensor
            chosen = logits.gather(1, resolve_labels(labels, logits)[:, None]).sum()
            if runs and chosen.requires_grad:
                (gradient,) = torch.autograd.grad(chosen, runs[-1], allow_unused=True)
    finally:
        handle.remove()
    if gradient is None:
        raise UserError(f"the logits of {type(net).__name__} do not depend on {name}: name another module")
    heat = (_WEIGHTS[kind](gradient) * runs[-1].detach()).sum(1, keepdim=True).relu()  # (B, 1, h, w)
    return (F.interpolate(heat, images.shape[-2:], mode="bilinear") if upsample else heat).squeeze(1)


def _outputs(net: nn.Module, images: Tensor | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all maps (B, C, H, W) by module, in the order in which they were computed last."""
    found: dict[str, tuple[int, ...]] = {}

    def keep(name: str, number: int, output: Any) -> None:
        if torch.is_tensor(output) and output.ndim == 4:
            found.pop(name, None)
            found[name] = tuple(output.shape)

    with as_plain_code(net), watching(net, {name for name, _ in net.named_modules() if name}, keep), torch.no_grad():
        if images is None:
            run_on_black_image(net, net)
        else:
            net(images[:1])
    return found


def _last_convolution(net: nn.Module, outputs: dict[str, tuple[int, ...]], least: int = 1) -> tuple[str, nn.Module]:
    modules: dict[str, nn.Module] = dict(net.named_modules())
    ran = [name for name in outputs if isinstance(modules[name], nn.Conv2d)]
    wide = [name for name in ran if outputs[name][-2] * outputs[name][-1] > 1]
    if not ran:
        raise UserError(
            f"{type(net).__name__} runs no convolution, and so has no maps for Grad-CAM; a net with nn.Conv2d has"
        )
    large = [name for name in wide if min(outputs[name][-2:]) >= least]
    name = (large or wide or ran)[-1]
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
