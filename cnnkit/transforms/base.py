"""The base class of all augmentations, and the checks of their settings."""

import inspect
from collections.abc import Sequence

from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.randomness import Counter
from cnnkit.recorded import Recorded


class Transform(Recorded, nn.Module):
    """Base of the augmentations that change each image independently.

    A subclass takes (B, C, H, W) images, uint8 or float32 in [0, 1], in any memory format. It returns new images of the
    same dtype and does not change its input. All its random numbers come from the counter. Its constructor raises a
    `UserError` for a setting that is out of range.
    """

    after_normalize: bool = False
    """Whether the pipeline applies it to normalized images, where 0 is the data set's mean."""

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Augment images.

        Args:
            images: (B, C, H, W), uint8 or float32 in [0, 1].
            counter: identifies the B images; see ``Counter``.
        """
        raise NotImplementedError

    def check_images(self, channels: int, size: Sequence[int]) -> None:
        """Refuse images, of a height and width, that the transform cannot change, with a `UserError`; none by default.

        A data module calls it when it is made, so a fit ends before it begins.
        """

    def extra_repr(self) -> str:
        settings = (name for name in inspect.signature(type(self)).parameters if name in vars(self))
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in settings)


class ColorTransform(Transform):
    """Base of the transforms of colors, which need one or three channels."""

    def check_images(self, channels: int, size: Sequence[int]) -> None:
        """Refuse images that have neither one nor three channels with a `UserError`."""
        if channels not in (1, 3):
            raise UserError(f"{type(self).__name__}: images must have 1 or 3 channels, got {channels}")


def check_between(owner: object, name: str, value: float, low: float, high: float) -> None:
    """Check that a setting of an object is a number in [low, high], which NaN is not; else raise a `UserError`."""
    if not isinstance(value, int | float) or not low <= value <= high:
        bounds = f"of at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise UserError(f"{name} is {value!r}: {type(owner).__name__} takes a number {bounds}")


def check_pixels(owner: object, name: str, value: int, low: int) -> None:
    """Check that a setting is a whole number of pixels, at least ``low``; see `check_between`."""
    check_between(owner, name, value, low, float("inf"))
    if not isinstance(value, int):
        raise UserError(f"{name} is {value!r}: {type(owner).__name__} takes a whole number of pixels")


def check_range(owner: object, name: str, low: float, high: float, least: float, most: float) -> None:
    """Check that ``<name>_low`` and ``<name>_high`` are a range within [least, most]; see `check_between`."""
    check_between(owner, f"{name}_low", low, least, most)
    check_between(owner, f"{name}_high", high, least, most)
    if low > high:
        raise UserError(f"{name}_low is {low:g}: {type(owner).__name__} takes at most {name}_high, which is {high:g}")
