"""The explanation of a prediction as a figure: the image, and beside it the map of each method."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cnnkit.inspection.attribution import Labels, integrated_gradients, normalize_black, occlusion
from cnnkit.inspection.feature_maps import Maps
from cnnkit.inspection.grad_cam import grad_cam
from cnnkit.reporting.grids import map_grid, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRAD_CAM, INTEGRATED, OCCLUSION = "Grad-CAM", "integrated gradients", "occlusion"
_SIDE = 1.7  # inches of a panel
_HEAD = 0.62  # inches above the panels of an image


@dataclass(frozen=True)
class Explanation:
    """An image, the prediction for it, and the maps that explain it.

    Args:
        image: uint8 (C, H, W), gray or RGB.
        title: one line or two.
        maps: (H, W) by the name of the method; in maps with a sign, positive values support the class.
    """

    image: Tensor
    title: str
    maps: Mapping[str, Tensor]


def has_captum() -> bool:
    """Whether captum is installed, which integrated gradients and occlusion need."""
    return importlib.util.find_spec("captum") is not None


def has_convolution(net: nn.Module) -> bool:
    """Whether the net has a convolution, which Grad-CAM needs."""
    return any(isinstance(module, nn.Conv2d) for module in net.modules())


def attribution_maps(
    net: nn.Module,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    labels: Labels = None,
    module: str | None = None,
) -> dict[str, Tensor]:
    """Compute every method's map (B, H, W), summed over the channels.

    Without captum there is Grad-CAM alone; a net without convolutions has only the other maps.

    Args:
        images: normalized, (B, C, H, W).
        mean: that was subtracted from every channel; with ``std`` it says what is black, which stands for "nothing".
        std: that every channel was divided by.
        labels: the classes to explain, (B,), or one for all; by default the class that the net predicts.
        module: where Grad-CAM looks; by default the block around the last convolution.

    Raises:
        UserError: Grad-CAM has nowhere to look.
    """
    maps = {}
    if module or has_convolution(net) or not has_captum():
        maps[GRAD_CAM] = grad_cam(net, images, labels, module)
    if has_captum():
        nothing = normalize_black(images, mean, std)
        maps[INTEGRATED] = integrated_gradients(net, images, nothing, labels).sum(1)
        maps[OCCLUSION] = occlusion(net, images, nothing, labels)
    return {name: found.cpu() for name, found in maps.items()}


def explanation_figure(rows: Sequence[Explanation]) -> "Figure":
    """Draw a row for each image: as it is, under its Grad-CAM map, and each other map.

    Those are red where they support the class and blue where they do not. Every map has its own scale, whose end stands
    below it, in units of the logit.
    """
    from matplotlib.figure import Figure

    columns = 1 + max(len(row.maps) for row in rows)
    figure = Figure(figsize=(columns * _SIDE, len(rows) * (_SIDE + _HEAD)), layout="constrained", facecolor="white")
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        part.suptitle(row.title, x=0.01, ha="left", fontsize=8, parse_math=False)
        panels = part.subplots(1, columns, squeeze=False)[0]
        for axes in panels:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        _show(panels[0], row.image)
        for axes, (name, found) in zip(panels[1:], row.maps.items(), strict=False):
            axes.set_title(name, fontsize=8)
            _draw_map(axes, row.image, found, signed=name != GRAD_CAM)
    return figure


def feature_picture(maps: Maps, index: int = 0, columns: int = 16, limit: int = 32) -> Tensor:
    """Draw the feature maps of one image after every stage, as a picture uint8 (3, height, width).

    Args:
        maps: (B, C, H, W) by module, as `cnnkit.inspection.feature_maps.feature_maps` gives them.
        index: the image's place in the batch.
        limit: maps shown of a stage, the first ones.
    """
    captions = []
    for name, found in maps.items():
        channels, height, width = found.shape[1:]
        shown = f", the first {limit}" if channels > limit else ""
        captions.append(f"{name}: {channels} maps of {height}x{width}{shown}")
    return stacked([map_grid(found[index], columns, limit) for found in maps.values()], captions)


def _show(axes: Any, image: Tensor) -> None:
    pixels = image.expand(3, -1, -1).permute(1, 2, 0)
    axes.imshow(pixels.numpy(), interpolation="nearest")


def _draw_map(axes: Any, image: Tensor, found: Tensor, *, signed: bool) -> None:
    if signed:
        largest = float(found.abs().flatten().quantile(0.995)) or float(found.abs().max()) or 1.0  # not one pixel alone
        axes.imshow(found.numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("0.8")
        axes.set_xlabel(f"±{largest:.2g}", fontsize=7)
        return
    largest = float(found.max())
    _show(axes, image.float().mean(0, keepdim=True).to(image.dtype))
    axes.imshow(found.numpy(), cmap="inferno", alpha=0.6, vmin=0, vmax=largest or 1.0, interpolation="nearest")
    axes.set_xlabel(f"0 to {largest:.2g}" if largest else "0 everywhere", fontsize=7)
