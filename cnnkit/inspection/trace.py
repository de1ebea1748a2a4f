"""One forward pass of a net on a black image, and what each of its modules computed.

It follows the operations that torch executes, so the style of the net's code does not matter: residual sums and means
over pixels count, though no module computes them.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from cnnkit.errors import UserError
from cnnkit.inspection.geometry import Geometry, LostTrackError, image_geometry
from cnnkit.inspection.geometry_rules import follow
from cnnkit.layers.probing import as_plain_code, black_image, image_shape
from cnnkit.upstream import private

TorchDispatchMode: Any = private("torch.utils._python_dispatch.TorchDispatchMode")


@dataclass(frozen=True)
class Call:
    """One run of a module."""

    name: str
    module: nn.Module
    takes: tuple[int, ...] | None
    """The shape of its input, without the batch; None if its first argument is no tensor."""
    shape: tuple[int, ...]
    """Of its output, without the batch."""
    macs: int
    """Multiply-accumulates of one image in it and all modules inside."""
    inside: int
    """How many of the calls before this one ran inside it."""
    depth: int
    """0 for the net, 1 for its direct parts and for other watched modules."""
    geometry: Geometry | None
    """Which pixels its output depends on; None if that is not known."""


@dataclass(frozen=True)
class Trace:
    """One pass: its modules in the order in which they ended, and its multiply-accumulates."""

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
        image: the image's shape (C, H, W); see `image_shape` for what it is by default.
        parts: the modules to watch, with all below them, by the prefix of their names; by default the net, without one.
        run: called with the image (1, C, H, W); by default the net itself.

    Raises:
        UserError: the net does not take such an image.
    """
    if type(net).__name__ == "OptimizedModule":  # of `torch.compile(net)`
        net = next(net.children())
    image = image or image_shape(net)
    parts = parts or {"": net}
    images = black_image(net, image)
    watcher = _Watcher(images)
    with ExitStack() as stack:
        for part in parts.values():
            stack.enter_context(as_plain_code(part))
            stack.enter_context(_padded_with_zeros(part))
        for name, module, depth in _named(parts):
            stack.callback(module.register_forward_pre_hook(watcher.enter(name)).remove)
            stack.callback(module.register_forward_hook(watcher.leave(name, depth)).remove)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), watcher:
                (run or net)(images)
        except (RuntimeError, AssertionError) as error:  # timm asserts
            raise UserError(_describe_refusal(net, image, watcher.inside, error)) from error
    return Trace(watcher.calls, watcher.macs, image)


class _Watcher(TorchDispatchMode):
    """Counts the operations, and follows which pixels every tensor depends on."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.macs = 0
        self.calls: list[Call] = []
        # Of every module that runs: its name and itself, its input's shape, MACs and calls when it started.
        self._before: list[tuple[str, nn.Module, tuple[int, ...] | None, int, int]] = []
        # Of what depends on the image; None where it is not known how.
        self._known: MutableMapping[Tensor, Geometry | None] = WeakTensorKeyDictionary()
        self._known[images] = image_geometry(images)

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

    @property
    def inside(self) -> tuple[str, nn.Module, tuple[int, ...] | None] | None:
        """The innermost module that runs: its name, itself, the shape of its input."""
        return self._before[-1][:3] if self._before else None

    def enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        """Hook before a module."""

        def hook(module: nn.Module, inputs: Any) -> None:
            takes = tuple(inputs[0].shape[1:]) if inputs and isinstance(inputs[0], Tensor) else None
            self._before.append((name, module, takes, self.macs, len(self.calls)))

        return hook

    def leave(self, name: str, depth: int) -> Callable[[nn.Module, Any, Any], None]:
        """Hook after a module."""

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            _, _, takes, macs, calls = self._before.pop()
            output = output[0] if isinstance(output, (tuple, list)) and output else output
            if isinstance(output, Tensor):
                inside, shape = len(self.calls) - calls, tuple(output.shape[1:])
                known = self._known.get(output)
                self.calls.append(Call(name, module, takes, shape, self.macs - macs, inside, depth, known))

        return hook


def _describe_refusal(
    net: nn.Module,
    image: tuple[int, int, int],
    at: tuple[str, nn.Module, tuple[int, ...] | None] | None,
    error: Exception,
) -> str:
    """Describe why a net does not take an image, and what to change."""
    size = "x".join(map(str, image))
    if at and isinstance(at[1], nn.Linear) and at[2] and at[2][-1] != at[1].in_features:
        built = getattr(net, "image_size", None)
        of = f", of {built[0]}x{built[1]} pixels" if built else ""
        given = f"image_size {image[1:] if image[1] != image[2] else image[1]}"
        remedy = "global_pool=True of a CNN does" if "global_pool" in signature(type(net)).parameters else "CNN can"
        return (
            f"{type(net).__name__} does not take images of {size}: {at[0]} (Linear) was built for "
            f"{at[1].in_features} values{of}, and gets {at[2][-1]}.\n"
            f"A dense layer fixes the size of the images: build the net with {given} (data of that size do it), "
            f"or average over all pixels before it ({remedy})."
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    where = f"at {at[0]}, {type(at[1]).__name__}: " if at and at[0] else ""
    return (
        f"{type(net).__name__} does not take images of {size} ({where}{reason}); "
        "give it the image_size that it was built for"
    )


@contextmanager
def _padded_with_zeros(net: nn.Module) -> Iterator[None]:
    """Pad with zeros instead of circularly, which cannot be followed; shapes and fields stay the same."""
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.padding_mode == "circular"]
    for convolution in convolutions:
        convolution.padding_mode = "zeros"
    try:
        yield
    finally:
        for convolution in convolutions:
            convolution.padding_mode = "circular"


def _named(parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module, int]]:
    for prefix, part in parts.items():
        for name, module in part.named_modules():
            depth = bool(prefix) + (name.count(".") + 1 if name else 0)
            yield ".".join(word for word in (prefix, name) if word), module, depth
