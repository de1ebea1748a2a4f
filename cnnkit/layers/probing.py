"""Look into a net from outside: find its modules, run it once on a black image, and leave it as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.sizes import DEFAULT_IMAGE_SIZE, ImageSize, as_height_width
from cnnkit.suggest import closest


def find_module(net: nn.Module, name: str, key: str = "") -> nn.Module:
    """Find the module of a dotted name.

    Args:
        net: any net.
        name: as in ``net.named_modules()``.
        key: the argument that gave the name, to begin the message with.

    Raises:
        UserError: there is no such module; the message has the names that are close.
    """
    modules: dict[str, nn.Module] = dict(net.named_modules())
    if name and name in modules:
        return modules[name]
    names = [known for known in modules if known]
    close = closest(name, names) or [known for known in names if "." not in known]
    where = f"{key}: " if key else ""
    raise UserError(f"{where}{type(net).__name__} has no module {name!r}; there are {', '.join(close) or 'none'}")


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Set the net to evaluation mode within the context; every module then gets its own mode back."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def as_plain_code(net: nn.Module) -> Iterator[None]:
    """Set the net to evaluation mode within the context, and run its Python code even if it is compiled."""
    with evaluating(net), torch.compiler.set_stance("force_eager"):
        yield


def image_shape(
    net: nn.Module, image_size: ImageSize | None = None, in_channels: int | None = None
) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of a net's images.

    Args:
        net: any net.
        image_size: pixels, one number or (height, width); by default the net's ``image_size``, else 224.
        in_channels: by default the net's ``in_channels``, else those of its first convolution, else 3.
    """
    inner = next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d)), 3)
    size = getattr(net, "image_size", DEFAULT_IMAGE_SIZE) if image_size is None else image_size
    return in_channels or int(getattr(net, "in_channels", inner)), *as_height_width(size)


def black_image(net: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Return one black image (1, C, H, W), of the type and on the device of the net's weights."""
    weight = next(net.parameters(), torch.empty(0))
    return torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)


def run_on_black_image(net: nn.Module, run: Callable[[Tensor], Any]) -> Any:
    """Run a net on one black image in evaluation mode; neither the net nor torch's random numbers change.

    Args:
        net: any net; see `image_shape` for the image's size.
        run: called with the image (1, C, H, W).

    Raises:
        UserError: the net does not take such an image.
    """
    shape = image_shape(net)
    try:
        with evaluating(net), torch.no_grad(), torch.random.fork_rng(devices=[]):
            return run(black_image(net, shape))
    except (RuntimeError, AssertionError) as error:  # timm asserts
        raise UserError(
            f"{type(net).__name__} does not take images of {'x'.join(map(str, shape))} "
            f"({str(error).splitlines()[0]}); give it the attributes in_channels and image_size"
        ) from error
