"""Auxiliary heads: small classifiers on the maps inside a net, there for training only.

Szegedy et al. 2014, arXiv 1409.4842 (GoogLeNet), section 5; Lee et al. 2014, arXiv 1409.5185 (deeply-supervised nets).
The heads here are smaller than GoogLeNet's: adaptive pooling to 2x2, one dense layer, no dropout.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers.conv import Pointwise
from cnnkit.layers.probing import find_module, run_on_black_image


class AuxiliaryOutput(NamedTuple):
    """What ``forward_aux`` of a net with heads returns."""

    logits: Tensor
    """Of the net itself (B, K)."""
    aux_logits: dict[str, Tensor]
    """Of every head (B, K), by the head's name, from the first to the last layer."""


class AuxiliaryHead(nn.Sequential):
    """Average pooling, 1x1 convolution, dense layer: maps ``(B, in_channels, H, W)`` of any size to logits ``(B, K)``.

    Args:
        in_channels: channels of the maps.
        num_classes: classes, one logit each.
        channels: filters of the 1x1 convolution.
        pool_size: rows and columns that are left by the pooling.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 64, pool_size: int = 2) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(pool_size),  # (B, in_channels, 2, 2)
            Pointwise(in_channels, channels),  # (B, channels, 2, 2)
            nn.Flatten(),
            nn.Linear(channels * pool_size**2, num_classes),  # (B, K)
        )


class AuxiliaryHeads(nn.Module):
    """Any net with an :class:`AuxiliaryHead` after some of its modules; the net itself stays as it is.

    Args:
        net: maps images (B, C, H, W) to logits (B, K). Its attributes ``in_channels`` and ``image_size`` say on what
            images it can be run; without them the first convolution's channels and 224 pixels are taken.
        after: names of modules as in ``net.named_modules()``, such as ``layer1`` or ``features.4``.

    Raises:
        UserError: a name is unknown or stands twice, or a module is not run or gives no maps (B, C, H, W).

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
        """The net without heads."""
        return self.net


def build_heads(net: nn.Module, after: Sequence[str]) -> nn.ModuleDict:
    """Build one head for each of the named modules of a net, in their order; for keys, their dots become ``_``.

    Raises:
        UserError: as :class:`AuxiliaryHeads`.
    """
    if not after or len(set(after)) < len(after):
        raise UserError(f"after is {list(after)}: name one or more modules of the net, each once")
    for name in after:
        find_module(net, name, key="after")

    def run(images: Tensor) -> tuple[Tensor, dict[str, Any]]:
        with _outputs_of(net, after) as outputs:
            return _run(net, images), outputs

    logits, outputs = run_on_black_image(net, run)
    heads = nn.ModuleDict()
    for name in after:
        found = outputs.get(name)
        if not torch.is_tensor(found) or found.ndim != 4:
            what = "is not run" if name not in outputs else f"gives {tuple(getattr(found, 'shape', ())) or type(found)}"
            raise UserError(f"after: {name} of {type(net).__name__} {what}; a head needs maps (B, C, H, W)")
        heads[name.replace(".", "_")] = AuxiliaryHead(found.shape[1], logits.shape[1]).to(found.device)
    return heads


def forward_with_heads(
    net: nn.Module, heads: Mapping[str, nn.Module], images: Tensor, compiled: bool = False
) -> AuxiliaryOutput:
    """Run a net once, and each head on what the module of its name gave.

    The heads run after the net: one that changed the maps in place, as ``nn.ReLU(inplace=True)`` does, is done by then.

    Args:
        net: the module that has the named ones below it.
        heads: by the dotted names of modules of the net.
        images: (B, C, H, W).
        compiled: run the net through `torch.compile`.
    """
    run = compile_once(_run) if compiled else _run
    with _outputs_of(net, heads) as maps:
        logits = run(net, images)
    return AuxiliaryOutput(logits, {name: head(maps[name]) for name, head in heads.items()})


def _run(net: nn.Module, images: Tensor) -> Tensor:
    return net.forward(images)  # type: ignore[no-any-return]  # what `net.compile()` compiled never sees the hooks


@cache
def compile_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.compile` of a plain function, which a copied or pickled net does not carry along."""
    return torch.compile(function)


@contextmanager
def _outputs_of(net: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Within it, every forward pass leaves the outputs of the named modules in the dict."""
    outputs: dict[str, Any] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            outputs[name] = output

        return hook

    with ExitStack() as stack:
        for name in names:
            stack.callback(net.get_submodule(name).register_forward_hook(keep(name)).remove)
        yield outputs
