"""RandAugment and TrivialAugment: for each image some of fourteen operations, all equally likely."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.randomness import Counter
from cnnkit.transforms.base import ColorTransform, check_between
from cnnkit.transforms.kinds import Change, change_by_kind
from cnnkit.transforms.operations import PIXEL_OPERATIONS, find_matrices
from cnnkit.transforms.sampling import make_affine_grid, sample_images

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
NAMES = ("Identity", *MOVES, *PIXEL_OPERATIONS)
SIGNED = (*MOVES, "Brightness", "Color", "Contrast", "Sharpness")
"""The operations whose magnitude is negative for half of the images."""


class AutomaticTransform(ColorTransform):
    """Base of the transforms that choose operations at random.

    Float images are rounded to bytes first, as the operations are defined on bytes.
    """

    def __init__(self, num_magnitude_bins: int) -> None:
        super().__init__()
        check_whole(self, "num_magnitude_bins", num_magnitude_bins, 2, 1000)
        self.num_magnitude_bins = num_magnitude_bins
        self._tables: dict[tuple[torch.device, int, int], Tensor] = {}

    def list_magnitudes(self, height: int, width: int) -> dict[str, Tensor]:
        """Return the magnitudes of each operation that has some, (num_magnitude_bins,) float32 each."""
        raise NotImplementedError

    def apply_operations(self, images: Tensor, operation: Tensor, level: Tensor, negative: Tensor) -> Tensor:
        """Apply one operation to each image.

        Args:
            images: (B, C, H, W), uint8.
            operation: (B,) int64, the place of its name in `NAMES`.
            level: (B,) int64, the bin of its magnitude.
            negative: (B,) bool, whether the magnitude is negative, for the operations for which it can be.
        """
        size = images.shape[2:]
        table = self._find_table(images.device, *size)
        magnitude = table[operation, level]
        signed = operation < len(SIGNED) + 1
        magnitude = torch.where(signed & negative, -magnitude, magnitude)
        moves = torch.stack([find_matrices(name, magnitude, *size) for name in MOVES])
        place = (operation - 1).clamp(0, len(MOVES) - 1)
        matrices = moves[place, torch.arange(len(images), device=images.device)]

        def move(some: Tensor, places: Tensor) -> Tensor:
            chosen = matrices.index_select(0, places)
            return sample_images(some, size, lambda part: make_affine_grid(chosen[part], size), nearest=True)

        def change(name: str, some: Tensor, places: Tensor) -> Tensor:
            return PIXEL_OPERATIONS[name](some, magnitude.index_select(0, places))

        # One kind for all moves, which differ in their matrices alone.
        kind = torch.where(operation > len(MOVES), operation - len(MOVES) + 1, operation.clamp(max=1))
        changes: list[Change | None] = [None, move, *(partial(change, name) for name in PIXEL_OPERATIONS)]
        return change_by_kind(images, kind, changes)

    def _find_table(self, device: torch.device, height: int, width: int) -> Tensor:
        """Return all magnitudes, (operations, bins), 0 for an operation without one; copied to a device once."""
        key = device, height, width
        if key not in self._tables:
            known = self.list_magnitudes(height, width)
            none = torch.zeros(self.num_magnitude_bins)
            self._tables[key] = torch.stack([known.get(name, none) for name in NAMES]).to(device)
        return self._tables[key]


class RandAugment(AutomaticTransform):
    """Apply ``num_ops`` random operations of the same magnitude to each image (Cubuk et al. 2019, arXiv:1909.13719).

    Operations, magnitudes and arithmetic are those of torchvision's ``RandAugment``; moved pixels are the nearest ones,
    and pixels from outside are black.

    Args:
        num_ops: number of operations, one after the other; one may come twice.
        magnitude: strength of all operations: a bin, counted from 0.
        num_magnitude_bins: number of bins, from no change to the greatest.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31) -> None:
        super().__init__(num_magnitude_bins)
        check_whole(self, "num_ops", num_ops, 1, 100)
        check_whole(self, "magnitude", magnitude, 0, num_magnitude_bins - 1)
        self.num_ops, self.magnitude = num_ops, magnitude

    def list_magnitudes(self, height: int, width: int) -> dict[str, Tensor]:
        """Return the magnitudes of each operation that has some, (num_magnitude_bins,) float32 each."""
        return _list_magnitudes(
            self.num_magnitude_bins,
            shear=0.3,
            move=(150 / 331 * width, 150 / 331 * height),
            turn=30.0,
            color=0.9,
            bits=4,
        )

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Change images; the result (B, C, H, W) is contiguous."""
        self.check_images(images.shape[1], images.shape[2:])
        changed = _to_bytes(images)
        for number in range(self.num_ops):
            operation = counter.integers(2 * number, 0, len(NAMES) - 1)
            negative = counter.uniform(2 * number + 1) < 0.5
            changed = self.apply_operations(changed, operation, torch.full_like(operation, self.magnitude), negative)
        return _from_bytes(changed, images)


class TrivialAugmentWide(AutomaticTransform):
    """Apply one random operation of random magnitude to each image (Müller and Hutter 2021, arXiv:2103.10158).

    Operations, magnitudes and arithmetic are those of torchvision's ``TrivialAugmentWide``; moved pixels are the
    nearest ones, and pixels from outside are black.

    Args:
        num_magnitude_bins: number of magnitudes, from no change to the greatest.
    """

    def __init__(self, num_magnitude_bins: int = 31) -> None:
        super().__init__(num_magnitude_bins)

    def list_magnitudes(self, height: int, width: int) -> dict[str, Tensor]:
        """Return the magnitudes of each operation that has some, (num_magnitude_bins,) float32 each."""
        return _list_magnitudes(self.num_magnitude_bins, shear=0.99, move=(32.0, 32.0), turn=135.0, color=0.99, bits=6)

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Change images; the result (B, C, H, W) is contiguous."""
        self.check_images(images.shape[1], images.shape[2:])
        operation = counter.integers(0, 0, len(NAMES) - 1)
        negative = counter.uniform(1) < 0.5
        level = counter.integers(2, 0, self.num_magnitude_bins - 1)
        return _from_bytes(self.apply_operations(_to_bytes(images), operation, level, negative), images)


def check_whole(owner: object, name: str, value: int, low: int, high: int) -> None:
    """Check that a setting is a whole number in [low, high]; else raise a `UserError`."""
    check_between(owner, name, value, low, high)
    if not isinstance(value, int):
        raise UserError(f"{name} is {value!r}: {type(owner).__name__} takes a whole number")


def _list_magnitudes(
    bins: int, *, shear: float, move: Sequence[float], turn: float, color: float, bits: int
) -> dict[str, Tensor]:
    most = {"ShearX": shear, "ShearY": shear, "TranslateX": move[0], "TranslateY": move[1], "Rotate": turn}
    most |= dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), color)
    found = {name: torch.linspace(0.0, value, bins) for name, value in most.items()}
    found["Posterize"] = (8 - torch.arange(bins) / ((bins - 1) / bits)).round()
    found["Solarize"] = torch.linspace(1.0, 0.0, bins)
    return found


def _to_bytes(images: Tensor) -> Tensor:
    return images if images.dtype == torch.uint8 else (images * 255).round_().to(torch.uint8)


def _from_bytes(changed: Tensor, images: Tensor) -> Tensor:
    return changed if images.dtype == torch.uint8 else changed.to(images.dtype).div_(255)
