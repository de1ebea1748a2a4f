"""The outputs of a net's layers for images, and the features before its last layer, caught by temporary hooks."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers.probing import as_plain_code, find_module

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
Maps = dict[str, Tensor]
Run = tuple[str, int]  # a module's dotted name, and whether it runs for the first time or the second


def feature_maps(net: nn.Module, images: Tensor, modules: Sequence[str] | None = None) -> Maps:
    """Return the outputs (B, C, H, W) of a net's stages, or of named modules, in the order in which they are computed.

    The net runs in evaluation mode, without gradients, and is left as it was.

    Args:
        modules: dotted names, such as ``features.3``; by default the stages, as `stages` finds them.

    Returns:
        Maps by the module's name; the second run of a module that runs several times is ``name (2)``.

    Raises:
        UserError: a name is unknown, or a module gives no maps of more than one pixel.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(676, 10))
        >>> {name: tuple(maps.shape) for name, maps in feature_maps(net, torch.zeros(2, 1, 28, 28)).items()}
        {'0': (2, 4, 26, 26), '1': (2, 4, 26, 26), '2': (2, 4, 13, 13)}
    """
    for name in modules or ():
        find_module(net, name)
    runs = _stages(net, images) if modules is None else [(name, 1) for name in dict.fromkeys(modules)]
    found: Maps = {}

    def keep(name: str, number: int, output: Any) -> None:
        if (name, number) in runs and is_map(output):
            found[_label(name, number)] = output.detach().clone()  # what comes next may change it in place

    with as_plain_code(net), watching(net, {name for name, _ in runs}, keep), torch.no_grad():
        net(images)
    for label in itertools.starmap(_label, runs):
        if label not in found:
            raise UserError(
                f"{label} of {type(net).__name__} gives no maps (B, C, H, W) of more than one pixel for these images; "
                f"there are {', '.join(stages(net, images))}"
            )
    return found


def stages(net: nn.Module, images: Tensor) -> list[str]:
    """Name the stages of a net: its first part, every part after which the maps have another size, and the last one.

    One rule serves any net: its children are its parts. A part is replaced by its own children if it gives no maps (a
    backbone that ends in a vector), if it is a Sequential without a number at the end of its name (``features``, but
    not ``layer1``, which is one of a series), or if it is the only one. Maps of a single pixel do not count.

    Args:
        images: (B, C, H, W); the first is enough.

    Raises:
        UserError: the net has no maps, as an MLP.

    Example:
        >>> from torchvision.models import resnet18
        >>> stages(resnet18(), torch.zeros(1, 3, 64, 64))
        ['conv1', 'relu', 'layer1', 'layer2', 'layer3', 'layer4']
    """
    return list(itertools.starmap(_label, _stages(net, images)))


def _stages(net: nn.Module, images: Tensor) -> list[Run]:
    sizes: dict[Run, tuple[int, ...]] = {}

    def keep(name: str, number: int, output: Any) -> None:
        if is_map(output):
            sizes[name, number] = tuple(output.shape[-2:])

    with as_plain_code(net), watching(net, {name for name, _ in net.named_modules() if name}, keep), torch.no_grad():
        net(images[:1])
    parts = _parts(net, "", {name for name, _ in sizes})
    row = [run for run in sizes if run[0] in parts]  # in the order in which they end
    if not row:
        raise UserError(f"{type(net).__name__} has no feature maps: none of its modules gives (B, C, H, W)")
    ends = [run for run, after in pairwise(row) if sizes[run] != sizes[after]]
    return list(dict.fromkeys([row[0], *ends, row[-1]]))


def _parts(module: nn.Module, prefix: str, with_maps: set[str]) -> set[str]:
    found: set[str] = set()
    for name, child in module.named_children():
        series = name[-1].isdigit()
        closed = prefix + name in with_maps and (series or not isinstance(child, _CONTAINERS))
        found |= {prefix + name} if closed else _parts(child, f"{prefix}{name}.", with_maps)
    if len(found) == 1:
        only = next(iter(found)).removeprefix(prefix)
        return _parts(module.get_submodule(only), f"{prefix}{only}.", with_maps) or found
    return found


def is_map(output: Any) -> bool:
    """Whether an output is a tensor (B, C, H, W) with more than one pixel."""
    return torch.is_tensor(output) and output.ndim == 4 and output.shape[-2] * output.shape[-1] > 1


def penultimate(net: nn.Module, images: Tensor) -> Tensor:
    """Return the input of the last dense or convolutional layer that runs, (B, D); of maps the mean over the pixels.

    The net runs once, in evaluation mode, without gradients, and is left as it was. Heads that only training uses do
    not run.

    Args:
        images: (B, C, H, W), as the net takes them.

    Raises:
        UserError: if no such layer runs.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(288, 5), nn.ReLU(), nn.Linear(5, 10))
        >>> penultimate(net, torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 5])
    """
    inputs: list[Tensor] = []

    def keep(module: nn.Module, given: Any) -> None:
        inputs[:] = given[:1]

    with ExitStack() as stack:
        stack.enter_context(as_plain_code(net))
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                stack.callback(module.register_forward_pre_hook(keep).remove)
        with torch.no_grad():
            net(images)
    if not inputs:
        raise UserError(f"{type(net).__name__} has no penultimate layer: no Linear and no Conv2d runs in it")
    features = inputs[0]
    return features.mean((2, 3)) if features.ndim == 4 else features.flatten(1)


@contextmanager
def watching(net: nn.Module, names: Iterable[str], see: Callable[[str, int, Any], None]) -> Iterator[None]:
    """Call ``see(name, number, output)`` within the context when a named module has run for the number-th time."""
    runs: Counter[str] = Counter()

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            runs[name] += 1
            see(name, runs[name], output)

        return hook

    with ExitStack() as stack:
        for name in names:
            stack.callback(net.get_submodule(name).register_forward_hook(hook_of(name)).remove)
        yield


def _label(name: str, number: int) -> str:
    return name if number == 1 else f"{name} ({number})"
