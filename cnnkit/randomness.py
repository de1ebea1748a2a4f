"""Randomness that is counted, not drawn: an integer hash of (seed, epoch, stream, salt, image index).

A random number is a pure function of *which image, in which epoch, under which seed*. So an image is augmented alike
whatever batch it is in, on CPU or GPU, with any number of workers or ranks, before and after a resume; and there is
no generator state to save. The idea is that of counter-based generators (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"); the hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, with the constants of
Stafford's variant 13).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_SALT_STEP = 0xD1B54A32D192ED03
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def _signed(value: int) -> int:
    """Reads the low 64 bits as two's complement, which is what an int64 tensor holds."""
    return ((value + (1 << 63)) & _MASK) - (1 << 63)


def _finalise(value: int) -> int:
    """Scrambles a 64-bit integer on the host: a bijection in which each bit depends on each."""
    value = ((value ^ (value >> 30)) * _MULTIPLIERS[0]) & _MASK
    value = ((value ^ (value >> 27)) * _MULTIPLIERS[1]) & _MASK
    return value ^ (value >> 31)


def _fold(*values: int) -> int:
    """Hashes a sequence of integers, order and length included, to 64 bits."""
    state = len(values)
    for value in values:
        state = _finalise((state + _GOLDEN + _finalise((value + _GOLDEN) & _MASK)) & _MASK)
    return state


def mix_seed(*values: int) -> int:
    """Hashes integers to one non-negative 63-bit integer, for seeding a generator.

    Args:
        values: Whatever names the draw, for example ``(seed, epoch, batch number)``. Order matters.

    Example:
        >>> mix_seed(0, 1), mix_seed(1, 0)
        (915340268681433045, 4417241557908484078)
    """
    return _fold(*values) >> 1


def _shift(bits: Tensor, count: int) -> Tensor:
    """Shifts right logically; on int64, ``>>`` alone would drag the sign along."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)


def _hash(state: Tensor) -> Tensor:
    """Does ``_finalise`` to each element, in place; int64 tensors wrap around as unsigned ones would."""
    state = state.bitwise_xor_(_shift(state, 30)).mul_(_signed(_MULTIPLIERS[0]))
    state = state.bitwise_xor_(_shift(state, 27)).mul_(_signed(_MULTIPLIERS[1]))
    return state.bitwise_xor_(_shift(state, 31))


def _unit(bits: Tensor) -> Tensor:
    """Turns the upper 24 bits, as many as float32 holds exactly, into a number in [0, 1)."""
    return _shift(bits, 40).to(torch.float32).mul_(1 / (1 << 24))


@dataclass(frozen=True, eq=False)
class Counter:
    """Which images, in which epoch, under which seed: the source of all per-image randomness.

    Args:
        seed: The run's seed.
        epoch: The epoch, from 0.
        index: (B,) int64: each image's number in its data set. Its device is where numbers are made.
        stream: Keeps users of the same salts apart, for example the transforms of one pipeline.

    Raises:
        ValueError: If the index is not (B,) int64.

    Example:
        >>> counter = Counter(seed=0, epoch=0, index=torch.arange(3))
        >>> counter.integers(salt=0, low=0, high=9)
        tensor([6, 9, 1])
        >>> counter.at_epoch(1).integers(salt=0, low=0, high=9)
        tensor([5, 0, 6])
    """

    seed: int
    epoch: int
    index: Tensor
    stream: int = 0

    def __post_init__(self) -> None:
        if self.index.dtype != torch.int64 or self.index.dim() != 1:
            given = f"{self.index.dtype} of shape {tuple(self.index.shape)}"
            raise ValueError(f"Counter: index must be int64 of shape (B,), one number an image, got {given}.")

    def bits(self, salt: int = 0) -> Tensor:
        """Returns 64 random bits an image, as (B,) int64.

        Args:
            salt: Tells apart the numbers one user needs for the same image.
        """
        # All but the index is mixed on the host, into one number: few and small operations are left for the device.
        return _hash(self.index * _signed(_GOLDEN) + _signed(self._key() + salt * _SALT_STEP))

    def _key(self) -> int:
        return _fold(self.seed, self.epoch, self.stream)

    def uniform(self, salt: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Returns (B,) float32 uniform in [low, high), of 24 random bits each.

        Args:
            salt: Tells apart the numbers one user needs for the same image.
            low: Lower end.
            high: Upper end; never reached when the range is [0, 1), else only by rounding.
        """
        return _unit(self.bits(salt)).mul_(high - low).add_(low)

    def uniforms(self, count: int) -> Tensor:
        """Returns (count, B) float32 uniform in [0, 1): the numbers of salts 0, ..., count - 1, made at once.

        Args:
            count: How many numbers an image.
        """
        salts = torch.arange(count, device=self.index.device)[:, None] * _signed(_SALT_STEP)
        return _unit(_hash(self.index * _signed(_GOLDEN) + salts + _signed(self._key())))

    def integers(self, salt: int, low: int, high: int) -> Tensor:
        """Returns (B,) int64 uniform in low, ..., high, both ends included.

        The bias is below (high - low + 1) / 2**32, and the range may hold at most 2**31 numbers.

        Args:
            salt: Tells apart the numbers one user needs for the same image.
            low: Least number.
            high: Greatest number.
        """
        return (_shift(self.bits(salt), 32) * (high - low + 1) >> 32) + low

    def at_epoch(self, epoch: int) -> "Counter":
        """Returns the counter of the same images in another epoch."""
        return replace(self, epoch=epoch)

    def at_stream(self, stream: int) -> "Counter":
        """Returns a counter whose numbers are independent of this one's."""
        return replace(self, stream=stream)
