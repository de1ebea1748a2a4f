"""What all augmentations share: the base class and the checks of their settings."""

from torch import Tensor, nn

from cnnkit.randomness import Counter


class Transform(nn.Module):
    """Base of the augmentations that change each image by itself.

    A subclass takes (B, C, H, W) images, uint8 or float32 in [0, 1], in any memory format, and returns new ones of the
    same dtype, leaving its input alone. It draws all random numbers from the counter, one set an image.
    """

    after_normalize: bool = False
    """Whether the pipeline applies it to normalized images, where 0 is the data set's mean."""

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns the augmented images.

        Args:
            images: (B, C, H, W), uint8 or float32 in [0, 1].
            counter: Names the B images; see ``Counter``.
        """
        raise NotImplementedError


def check_between(owner: object, name: str, value: float, low: float, high: float) -> None:
    """Checks that a setting is a number in [low, high].

    Args:
        owner: Whose setting it is; its class is named in the message.
        name: The setting's name.
        value: The setting.
        low: Least value allowed.
        high: Greatest value allowed.

    Raises:
        ValueError: If it is not; NaN is not in any range.
    """
    if not isinstance(value, int | float) or not low <= value <= high:
        bounds = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ValueError(f"{type(owner).__name__}: {name} must be {bounds}, got {value!r}.")


def check_range(owner: object, name: str, low: float, high: float, least: float, most: float) -> None:
    """Checks that ``<name>_low`` and ``<name>_high`` are a range within [least, most].

    Args:
        owner: Whose settings they are.
        name: The settings' common name.
        low: Lower end.
        high: Upper end.
        least: Least value allowed.
        most: Greatest value allowed.

    Raises:
        ValueError: If either is outside, or the lower end is above the upper.
    """
    check_between(owner, f"{name}_low", low, least, most)
    check_between(owner, f"{name}_high", high, least, most)
    if low > high:
        raise ValueError(f"{type(owner).__name__}: {name}_low ({low:g}) must not be above {name}_high ({high:g}).")
