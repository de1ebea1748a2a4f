"""Augmentations of photos by one word: ``light``, ``medium`` and ``strong``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from cnnkit.errors import UserError
from cnnkit.suggest import suggest
from cnnkit.transforms.auto import TrivialAugmentWide
from cnnkit.transforms.base import Transform
from cnnkit.transforms.erase import RandomErasing
from cnnkit.transforms.geometric import AlternatingFlip
from cnnkit.transforms.jitter import ColorJitter
from cnnkit.transforms.mix import CutMix, Mix, MixUp
from cnnkit.transforms.resized_crop import RandomResizedCrop

Preset = Literal["light", "medium", "strong"]
PRESETS: Mapping[Preset, Sequence[tuple[type[Transform | Mix], Mapping[str, Any]]]] = {
    "light": ((RandomResizedCrop, {"area_low": 0.35}), (AlternatingFlip, {})),
    "medium": (
        (RandomResizedCrop, {"area_low": 0.2}),
        (AlternatingFlip, {}),
        (ColorJitter, {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}),
    ),
    "strong": (  # torchvision's recipe of 2021 for ImageNet, with its defaults for what it names
        (RandomResizedCrop, {}),
        (AlternatingFlip, {}),
        (TrivialAugmentWide, {}),
        (RandomErasing, {"p": 0.1}),
        (MixUp, {"alpha": 0.2}),
        (CutMix, {"alpha": 1.0}),
    ),
}
"""The transforms of each preset, in order: classes, and their arguments where they are not the defaults."""


def build_transforms(
    augment: Sequence[Transform | Mix] | Preset | None, default: Callable[[], list[Transform | Mix]]
) -> list[Transform | Mix]:
    """Return given transforms, those of a preset, or the default ones if none are given.

    Raises:
        UserError: there is no such preset.
    """
    if augment is None:
        return default()
    return build_preset(augment) if isinstance(augment, str) else list(augment)


def build_preset(name: Preset) -> list[Transform | Mix]:
    """Build the transforms of a preset; see `build_transforms`."""
    return [kind(**arguments) for kind, arguments in _find(name)]


def spell_out(name: str) -> list[dict[str, Any]]:
    """Return the transforms of a preset as a configuration describes them; see `build_transforms`."""
    return [{"class_path": kind.__name__, "init_args": dict(arguments)} for kind, arguments in _find(name)]


def _find(name: str) -> Sequence[tuple[type[Transform | Mix], Mapping[str, Any]]]:
    for preset, transforms in PRESETS.items():
        if preset == name:
            return transforms
    raise UserError(f"augment is {name!r}: it takes a list of transforms or a preset{suggest(name, PRESETS)}")
