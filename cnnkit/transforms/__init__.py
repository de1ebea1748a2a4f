"""Batched augmentation on the device, with randomness that depends on seed, epoch and image alone."""

from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform
from cnnkit.transforms.color import RandomBrightness, RandomContrast
from cnnkit.transforms.erase import Cutout, RandomErasing
from cnnkit.transforms.geometric import AlternatingFlip, RandomAffine, RandomCrop, RandomHorizontalFlip
from cnnkit.transforms.mix import CutMix, Mix, MixUp
from cnnkit.transforms.normalize import Normalize
from cnnkit.transforms.pipeline import Augment
from cnnkit.transforms.progressive import ProgressiveResize

__all__ = [
    "AlternatingFlip",
    "Augment",
    "Counter",
    "CutMix",
    "Cutout",
    "Mix",
    "MixUp",
    "Normalize",
    "ProgressiveResize",
    "RandomAffine",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "Transform",
]
