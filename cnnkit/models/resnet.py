"""Residual nets for small images: He et al. 2015, arXiv 1512.03385, section 4.2; pre-activation: arXiv 1603.05027.

The stem is one 3x3 convolution without pooling, so a 32-pixel image is halved only between the stages. With
``residual=False`` there are no skip connections: the plain net of the paper's figure 6. The net
is the paper's. The paper reports the best epoch on the test set; we choose the epoch on validation data.
"""

from typing import Literal

import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import (
    ActivationName,
    BasicBlock,
    Bottleneck,
    NormName,
    PreActBlock,
    ShortcutName,
    get_activation,
    init_he,
    make_norm,
)
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width

BlockName = Literal["basic", "bottleneck", "preact"]
_BLOCKS: dict[str, type[BasicBlock | Bottleneck | PreActBlock]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
    "preact": PreActBlock,
}


class ResNet(Recorded, nn.Module):
    """A stem, stages of residual blocks that halve the image and double the channels, the mean over all pixels.

    ResNet-20 by default (269,722 parameters on CIFAR-10). ResNet-18 for small images: ``widths=(64, 128, 256, 512),
    blocks=(2, 2, 2, 2), shortcut="B"`` (11,173,962).

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        depth: layers with weights on the longest path: 6 n + 2 for three stages of n basic or preact blocks, 9 n + 2
            for bottleneck blocks. It has no effect if ``blocks`` is given.
        block: ``basic`` (two 3x3 convolutions), ``bottleneck`` (1x1, 3x3, 1x1) or ``preact`` (two, activated before).
        residual: false leaves out the skip connections: the matching plain net.
        shortcut: where shapes change, ``A`` pads with zeros and has no parameters, ``B`` is a 1x1 convolution.
        widths: filters of the stages; the output of a bottleneck stage has four times as many channels.
        blocks: blocks in each stage; by default all stages have the same number, which follows from ``depth``.
        drop_path: probability of leaving out the last block in training; it falls linearly to 0 at the first block
            (Huang et al. 2016).
        squeeze_excite: scale the channels of every block (Hu et al. 2017).
        norm: normalization beside every convolution. The convolutions have a bias unless this is batch norm.
        activation: activation function.

    Raises:
        UserError: the depth does not fit the stages, or an argument is out of range.

    Example:
        >>> sum(p.numel() for p in ResNet(3, 10, 32, depth=56).parameters())
        853018
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        depth: int = 20,
        block: BlockName = "basic",
        residual: bool = True,
        shortcut: ShortcutName = "A",
        widths: tuple[int, ...] = (16, 32, 64),
        blocks: tuple[int, ...] | None = None,
        drop_path: float = 0.0,
        squeeze_excite: bool = False,
        norm: NormName = "batch",
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        if block not in _BLOCKS:
            raise UserError(f"block {block!r} is unknown; choose one of {', '.join(_BLOCKS)}.")
        if not widths or not 0 <= drop_path < 1:
            raise UserError(f"widths is {widths}, drop_path {drop_path}; give one width a stage and a share below 1.")
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        kind = _BLOCKS[block]
        counts = tuple(blocks) if blocks else _count_blocks(depth, kind.layers, len(widths))
        if len(counts) != len(widths) or min(counts) < 1:
            raise UserError(f"blocks is {counts} and widths {widths}; give both for the same stages, at least 1 block.")

        self.activate, self.preact = get_activation(activation), kind is PreActBlock
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=norm != "batch")
        # The first pre-activation block normalizes its input itself.
        self.bn1 = nn.Identity() if self.preact else make_norm(norm, widths[0])
        channels, number = widths[0], 0
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True), start=1):
            layer = nn.Sequential()
            for index in range(count):
                stride = 2 if stage > 1 and index == 0 else 1
                rate = drop_path * number / max(1, sum(counts) - 1)
                layer.append(kind(channels, width, stride, residual, shortcut, rate, squeeze_excite, norm, activation))
                channels, number = width * kind.expansion, number + 1
            self.add_module(f"layer{stage}", layer)
        self.stages = len(widths)
        self.norm = make_norm(norm, channels) if self.preact else nn.Identity()
        self.linear = nn.Linear(channels, num_classes)
        init_he(*(child for child in self.children() if child is not self.linear))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv1(images)  # (B, 3, 32, 32) -> (B, 16, 32, 32)
        if not self.preact:
            maps = self.activate(self.bn1(maps))
        for stage in range(1, self.stages + 1):  # -> (B, 16, 32, 32) -> (B, 32, 16, 16) -> (B, 64, 8, 8)
            maps = self.get_submodule(f"layer{stage}")(maps)
        if self.preact:
            maps = self.activate(self.norm(maps))
        logits: torch.Tensor = self.linear(maps.mean((2, 3)))  # (B, 64) -> (B, K)
        return logits


def _count_blocks(depth: int, layers: int, stages: int) -> tuple[int, ...]:
    """Count the blocks in each stage of a net of this depth; stem and last layer are two of its layers."""
    count, rest = divmod(depth - 2, layers * stages)
    if rest or count < 1:
        near = [2 + layers * stages * n for n in (max(1, count), max(1, count) + 1)]
        raise UserError(
            f"depth is {depth}; {stages} stages of blocks of {layers} layers make {layers * stages} n + 2: "
            f"give {near[0]} or {near[1]}, or the blocks of each stage."
        )
    return (count,) * stages
