"""Batched augmentation on the device, with randomness that depends on seed, epoch and image alone."""

from cnnkit.randomness import Counter
from cnnkit.transforms.auto import RandAugment, TrivialAugmentWide
from cnnkit.transforms.base import Transform
from cnnkit.transforms.blur import GaussianBlur
from cnnkit.transforms.color import RandomBrightness, RandomContrast
from cnnkit.transforms.erase import Cutout, RandomErasing
from cnnkit.transforms.geometric import (
    AlternatingFlip,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
)
from cnnkit.transforms.jitter import ColorJitter, RandomGrayscale
from cnnkit.transforms.mix import CutMix, Mix, MixUp
from cnnkit.transforms.normalize import Normalize
from cnnkit.transforms.pipeline import Augment
from cnnkit.transforms.presets import build_preset, build_transforms
from cnnkit.transforms.progressive import ProgressiveResize
from cnnkit.transforms.resized_crop import RandomResizedCrop
from cnnkit.transforms.warp import RandomPerspective, RandomRotation

__all__ = [
    "AlternatingFlip",
    "Augment",
    "ColorJitter",
    "Counter",
    "CutMix",
    "Cutout",
    "GaussianBlur",
    "Mix",
    "MixUp",
    "Normalize",
    "ProgressiveResize",
    "RandAugment",
    "RandomAffine",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Transform",
    "TrivialAugmentWide",
    "build_preset",
    "build_transforms",
]
