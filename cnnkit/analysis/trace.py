"""One forward pass of a net on a black image, and what every module of it did.

Followed are the operations that torch executes, so it does not matter how the net's code is written: residual sums and
means over pixels count though no module does them.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from cnnkit.analysis.geometry import Geometry, LostTrackError, of_images
from cnnkit.analysis.geometry_rules import follow
from cnnkit.errors import UserError
from cnnkit.layers.conv import ImageSize, as_height_width


@dataclass(frozen=True)
class Call:
    """One run of a module."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    """Of its output, without the batch."""
    macs: int
    """Multiply-accumulates of one image in all that it ran."""
    inside: int
    """How many of the calls before this one ran inside it."""
    depth: int
    """0 for the net, 1 for its direct parts and for what is watched beside the net."""
    geometry: Geometry | None
    """Which pixels its output depends on; None if that is not known."""


@dataclass(frozen=True)
class Trace:
    """What a pass did: its modules in the order in which they were done, and all its multiply-accumulates."""

    calls: list[Call]
    macs: int
    image: tuple[int, int, int]
    """The image's shape (C, H, W)."""


def trace(
    net: nn.Module,
    image: tuple[int, int, int] | None = None,
    parts: Mapping[str, nn.Module] | None = None,
    run: Callable[[Tensor], Any] | None = None,
) -> Trace:
    """Run a net once, in evaluation mode, and leave it as it was.

    Args:
        net: any net for images; it may be compiled, its plain code runs.
        image: the image's shape (C, H, W); see :func:`image_shape` for what it is by default.
        parts: the modules to watch, with all below them, by the prefix of their names; by default the net, without one.
        run: called with the image (1, C, H, W); by default the net itself.

    Raises:
        UserError: the net does not take such an image.
    """
    net = getattr(net, "_orig_mod", net)  # of `torch.compile(net)`
    image = image or image_shape(net)
    parts = parts or {"": net}
    weight = next(net.parameters(), torch.empty(0))
    images = torch.zeros(1, *image, dtype=weight.dtype, device=weight.device)
    watcher = _Watcher(images)
    with ExitStack() as stack:
        for part in parts.values():
            stack.enter_context(as_plain_code(part))
        for name, module, depth in _named(parts):
            stack.callback(module.register_forward_pre_hook(watcher.enter).remove)
            stack.callback(module.register_forward_hook(watcher.leave(name, depth)).remove)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), watcher:
                (run or net)(images)
        except (RuntimeError, AssertionError) as error:  # timm asserts
            channels, height, width = image
            raise UserError(
                f"{type(net).__name__} does not take images of {channels}x{height}x{width} "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
                "give it the image_size that it was built for"
            ) from error
    return Trace(watcher.calls, watcher.macs, image)


def image_shape(
    net: nn.Module, image_size: ImageSize | None = None, in_channels: int | None = None
) -> tuple[int, int, int]:
    """The shape (C, H, W) of a net's images.

    Args:
        net: any net.
        image_size: pixels, one number or (height, width); by default the net's ``image_size``, else 224.
        in_channels: by default the net's ``in_channels``, else those of its first convolution, else 3.
    """
    inner = next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d)), 3)
    height, width = as_height_width(getattr(net, "image_size", 224) if image_size is None else image_size)
    return in_channels or int(getattr(net, "in_channels", inner)), height, width


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Counts what torch executes, and knows of every tensor which pixels it depends on."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.calls: list[Call] = []
        self._before: list[tuple[int, int]] = []  # of every module that runs, MACs and calls when it started
        # Of what depends on the image; None where it is not known how.
        self._known: MutableMapping[Tensor, Geometry | None] = WeakTensorKeyDictionary()
        self._known[images] = of_images(images)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if count := flop_registry.get(func.overloadpacket):
            self.macs += count(*args, **kwargs, out_val=out) // 2
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self._follow(func, args, kwargs, tensor)
        return out

    def _follow(self, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
        try:
            found = follow(func, args, kwargs, out, self._of)
        except LostTrackError:
            self._known[out] = None
            return
        if found is not None:
            self._known[out] = found

    def _of(self, tensor: Tensor) -> Geometry | None:
        if tensor not in self._known:
            return None
        found = self._known[tensor]
        if found is None:
            raise LostTrackError
        return found

    def enter(self, module: nn.Module, inputs: Any) -> None:
        """Hook before a module."""
        self._before.append((self.macs, len(self.calls)))

    def leave(self, name: str, depth: int) -> Callable[[nn.Module, Any, Any], None]:
        """Hook after a module."""

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            macs, calls = self._before.pop()
            output = output[0] if isinstance(output, (tuple, list)) and output else output
            if isinstance(output, Tensor):
                inside, shape = len(self.calls) - calls, tuple(output.shape[1:])
                self.calls.append(Call(name, module, shape, self.macs - macs, inside, depth, self._known.get(output)))

        return hook


def _named(parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module, int]]:
    for prefix, part in parts.items():
        for name, module in part.named_modules():
            depth = bool(prefix) + (name.count(".") + 1 if name else 0)
            yield ".".join(word for word in (prefix, name) if word), module, depth


@contextmanager
def as_plain_code(net: nn.Module) -> Iterator[None]:
    """Within it, a net is in evaluation mode and not compiled."""
    modules = list(net.modules())
    training = [module for module in modules if module.training]
    compiled = {module: module.__dict__.pop("_compiled_call_impl", None) for module in modules}
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for module, call in compiled.items():
            if call is not None:
                module._compiled_call_impl = call
