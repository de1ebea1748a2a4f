"""The explanation of a prediction as a figure: the image, and beside it the map of each method."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from torch import Tensor, nn

from cnnkit.inspection.attribution import Labels, integrated_gradients, normalize_black, occlusion
from cnnkit.inspection.faithfulness import Faithfulness, measure_faithfulness
from cnnkit.inspection.feature_maps import Maps
from cnnkit.inspection.grad_cam import CamName, grad_cam, last_block
from cnnkit.reporting.grids import map_grid, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTEGRATED, OCCLUSION = "integrated gradients", "occlusion"
LEAST = 7  # pixels of a side below which a class activation map is a blur over the whole image
_SIDE = 1.7  # inches of a panel
_HEAD = 0.86  # inches above and below the panels of an image


@dataclass(frozen=True)
class Explanation:
    """An image, the prediction for it, and the maps that explain it.

    Args:
        image: uint8 (C, H, W), gray or RGB.
        title: one line or two.
        maps: (H, W) by the name of the method; in maps with a sign, positive values support the class.
        scores: how far to believe the maps, by the name of the method.
    """

    image: Tensor
    title: str
    maps: Mapping[str, Tensor]
    scores: Mapping[str, Faithfulness] = field(default_factory=dict)


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
    cam: CamName = "HiResCAM",
    quick: bool = False,
) -> dict[str, Tensor]:
    """Compute every method's map (B, H, W), summed over the channels.

    Without captum there is the class activation map alone; a net without convolutions has only the other maps.

    Args:
        images: normalized, (B, C, H, W).
        mean: that was subtracted from every channel; with ``std`` it says what is black, which stands for "nothing".
        std: that every channel was divided by.
        labels: the classes to explain, (B,), or one for all; by default the class that the net predicts.
        module: whose maps the class activation map weighs; by default the block around the last convolution whose maps
            have at least 7x7 pixels.
        cam: kind of the class activation map, see `cnnkit.inspection.grad_cam.grad_cam`.
        quick: leave out the maps that take many passes, where the net has a class activation map.

    Raises:
        UserError: the class activation map has nowhere to look.
    """
    maps: dict[str, Tensor] = {}
    if module or has_convolution(net) or not has_captum():
        name = module or last_block(net, images, LEAST)[0]
        maps[str(cam)] = grad_cam(net, images, labels, name, kind=cam)
    if has_captum() and not (quick and maps):
        nothing = normalize_black(images, mean, std)
        maps[INTEGRATED] = integrated_gradients(net, images, nothing, labels).sum(1)
        maps[OCCLUSION] = occlusion(net, images, nothing, labels)
    return {name: found.cpu() for name, found in maps.items()}


def score_maps(
    net: nn.Module,
    images: Tensor,
    maps: Mapping[str, Tensor],
    mean: Sequence[float],
    std: Sequence[float],
    labels: Labels = None,
) -> dict[str, Faithfulness]:
    """Measure deletion and insertion of every method's maps, as `attribution_maps` gives them; black covers pixels."""
    nothing = normalize_black(images, mean, std)
    return {name: measure_faithfulness(net, images, each, nothing, labels) for name, each in maps.items()}


def explanation_figure(rows: Sequence[Explanation]) -> "Figure":
    """Draw a row for each image: as it is, under its class activation map, and each other map.

    Those are red where they support the class and blue where they do not. Every map has its own scale, whose end stands
    below it, in units of the logit; a second line has its scores, and the best of the row is bold.
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
            scale = _draw_map(axes, row.image, found, signed=name not in get_args(CamName))
            score = row.scores.get(name)
            if score is None:
                axes.set_xlabel(scale, fontsize=7)
                continue
            best = len(row.scores) > 1 and float(score.score) == max(float(each.score) for each in row.scores.values())
            told = f"{scale}\ninsertion {float(score.insertion):.2f}, deletion {float(score.deletion):.2f}"
            axes.set_xlabel(told, fontsize=6.5, fontweight="bold" if best else "normal")
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


def _draw_map(axes: Any, image: Tensor, found: Tensor, *, signed: bool) -> str:
    """Draw a map and return the text of its scale."""
    if signed:
        largest = float(found.abs().flatten().quantile(0.995)) or float(found.abs().max()) or 1.0  # not one pixel alone
        axes.imshow(found.numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("0.8")
        return f"±{largest:.2g}"
    largest = float(found.max())
    _show(axes, image.float().mean(0, keepdim=True).to(image.dtype))
    # The weaker the support, the more of the image shows.
    strength = (0.85 * found / (largest or 1.0)).clamp(0, 1).sqrt().numpy()
    axes.imshow(found.numpy(), cmap="inferno", alpha=strength, vmin=0, vmax=largest or 1.0, interpolation="nearest")
    return f"0 to {largest:.2g}" if largest else "0 everywhere"
