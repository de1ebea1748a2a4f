"""Auxiliary heads: small classifiers on the feature maps inside a net, for training only.

Szegedy et al. 2014, arXiv 1409.4842 (GoogLeNet), section 5; Lee et al. 2014, arXiv 1409.5185 (deeply-supervised nets).
The heads here are smaller than GoogLeNet's: adaptive pooling to 2x2, one dense layer, no dropout.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers.conv import Pointwise
from cnnkit.layers.probing import find_module, run_on_black_image


class AuxiliaryOutput(NamedTuple):
    """Output of ``forward_aux`` of a net with heads."""

    logits: Tensor
    """Logits (B, K) of the net itself."""
    aux_logits: dict[str, Tensor]
    """Logits (B, K) of every head, by the head's name, from the first to the last layer."""


class AuxiliaryHead(nn.Sequential):
    """Average pooling, 1x1 convolution, dense layer: maps ``(B, in_channels, H, W)`` of any size to logits ``(B, K)``.

    Args:
        in_channels: channels of the maps.
        num_classes: classes, one logit each.
        channels: filters of the 1x1 convolution.
        pool_size: rows and columns of the maps after pooling.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 64, pool_size: int = 2) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(pool_size),  # (B, in_channels, 2, 2)
            Pointwise(in_channels, channels),  # (B, channels, 2, 2)
            nn.Flatten(),
            nn.Linear(channels * pool_size**2, num_classes),  # (B, K)
        )


class AuxiliaryHeads(nn.Module):
    """Any net with an :class:`AuxiliaryHead` after some of its modules; the net itself does not change.

    Args:
        net: maps images (B, C, H, W) to logits (B, K). Its attributes ``in_channels`` and ``image_size`` are the size
            of its images; by default they are the channels of its first convolution and 224 pixels.
        after: names of modules as in ``net.named_modules()``, such as ``layer1`` or ``features.4``.

    Raises:
        UserError: a name is unknown or occurs twice, or a module is not run or does not return maps (B, C, H, W).

    Example:
        >>> layers = nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
        >>> net = AuxiliaryHeads(nn.Sequential(*layers), after=["0"])
        >>> net(torch.zeros(2, 1, 32, 32)).shape, list(net.forward_aux(torch.zeros(2, 1, 32, 32)).aux_logits)
        (torch.Size([2, 10]), ['0'])
    """

    def __init__(self, net: nn.Module, after: Sequence[str]) -> None:
        super().__init__()
        self.net, self.after = net, tuple(after)
        for name in ("in_channels", "num_classes", "image_size"):
            if hasattr(net, name):
                setattr(self, name, getattr(net, name))
        self.heads = build_heads(net, after)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the net's logits (B, K), in training too."""
        return self.net(images)  # type: ignore[no-any-return]

    def forward_aux(self, images: Tensor) -> AuxiliaryOutput:
        """Map images (B, C, H, W) to the logits of the net and of every head."""
        return forward_with_heads(self.net, dict(zip(self.after, self.heads.values(), strict=True)), images)

    def strip(self) -> nn.Module:
        """Return the net without heads."""
        return self.net


def build_heads(net: nn.Module, after: Sequence[str]) -> nn.ModuleDict:
    """Build one head for each named module of a net, in this order; in its key, dots become ``_``.

    Raises:
        UserError: as :class:`AuxiliaryHeads`.
    """
    if not after or len(set(after)) < len(after):
        raise UserError(f"after is {list(after)}: name one or more modules of the net, each once")
    for name in after:
        find_module(net, name, key="after")

    def run(images: Tensor) -> tuple[Tensor, dict[str, Any]]:
        with _record_outputs(net, after) as outputs:
            return _run(net, images), outputs

    logits, outputs = run_on_black_image(net, run)
    heads = nn.ModuleDict()
    for name in after:
        maps = outputs.get(name)
        if not torch.is_tensor(maps) or maps.ndim != 4:
            what = "is not run" if name not in outputs else f"gives {tuple(getattr(maps, 'shape', ())) or type(maps)}"
            raise UserError(f"after: {name} of {type(net).__name__} {what}; a head needs maps (B, C, H, W)")
        heads[name.replace(".", "_")] = AuxiliaryHead(maps.shape[1], logits.shape[1]).to(maps.device)
    return heads


def forward_with_heads(
    net: nn.Module, heads: Mapping[str, nn.Module], images: Tensor, compiled: bool = False
) -> AuxiliaryOutput:
    """Run a net once, and each head on the output of the module with its name.

    The heads run after the net, so they see the changes of modules that work in place, such as
    ``nn.ReLU(inplace=True)``.

    Args:
        net: any net.
        heads: heads by the dotted names of the net's modules.
        images: (B, C, H, W).
        compiled: run the net through `torch.compile`.
    """
    run = compile_once(_run) if compiled else _run
    with _record_outputs(net, heads) as maps:
        logits = run(net, images)
    return AuxiliaryOutput(logits, {name: head(maps[name]) for name, head in heads.items()})


def _run(net: nn.Module, images: Tensor) -> Tensor:
    return net.forward(images)  # type: ignore[no-any-return]  # code of `net.compile()` ignores the hooks


@cache
def compile_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a plain function with `torch.compile`; a copy or a pickle of a net does not contain it."""
    return torch.compile(function)


@contextmanager
def _record_outputs(net: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Keep the outputs of the named modules, of every forward pass in the context."""
    outputs: dict[str, Any] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        outputs[name] = output

    with ExitStack() as stack:
        for name in names:
            stack.callback(net.get_submodule(name).register_forward_hook(partial(keep, name)).remove)
        yield outputs
