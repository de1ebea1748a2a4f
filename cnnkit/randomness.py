"""Counter-based random numbers: an integer hash of (seed, epoch, stream, salt, image index).

A random number is a pure function of image, epoch and seed. So an image is augmented in the same way in any batch, on
CPU or GPU, with any number of workers or ranks, before and after a resume, and there is no generator state to save. The
idea is that of counter-based generators (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"); the hash
is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, with the constants of Stafford's variant 13).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_SALT_STEP = 0xD1B54A32D192ED03
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def _signed(value: int) -> int:
    """Read the low 64 bits as two's complement, as in an int64 tensor."""
    return ((value + (1 << 63)) & _MASK) - (1 << 63)


def _finalize(value: int) -> int:
    """Scramble a 64-bit integer on the host: a bijection in which every bit depends on all bits."""
    value = ((value ^ (value >> 30)) * _MULTIPLIERS[0]) & _MASK
    value = ((value ^ (value >> 27)) * _MULTIPLIERS[1]) & _MASK
    return value ^ (value >> 31)


def _fold(*values: int) -> int:
    """Hash a sequence of integers to 64 bits; order and length matter."""
    state = len(values)
    for value in values:
        state = _finalize((state + _GOLDEN + _finalize((value + _GOLDEN) & _MASK)) & _MASK)
    return state


def mix_seed(*values: int) -> int:
    """Hash integers to one non-negative 63-bit integer, the seed of a generator.

    Args:
        values: integers that identify the draw, such as ``(seed, epoch, batch number)``. Their order matters.

    Example:
        >>> mix_seed(0, 1), mix_seed(1, 0)
        (915340268681433045, 4417241557908484078)
    """
    return _fold(*values) >> 1


def _shift(bits: Tensor, count: int) -> Tensor:
    """Shift right and fill with zeros; on int64, ``>>`` alone would fill with the sign."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)


def _hash(state: Tensor) -> Tensor:
    """Apply ``_finalize`` to each element, in place; int64 tensors overflow as unsigned ones would."""
    state = state.bitwise_xor_(_shift(state, 30)).mul_(_signed(_MULTIPLIERS[0]))
    state = state.bitwise_xor_(_shift(state, 27)).mul_(_signed(_MULTIPLIERS[1]))
    return state.bitwise_xor_(_shift(state, 31))


def _unit(bits: Tensor) -> Tensor:
    """Turn the upper 24 bits, which float32 holds exactly, into a number in [0, 1)."""
    return _shift(bits, 40).to(torch.float32).mul_(1 / (1 << 24))


@dataclass(frozen=True, eq=False)
class Counter:
    """Seed, epoch and numbers of images: the source of all random numbers for each image.

    Args:
        seed: seed of the run.
        epoch: the epoch, from 0.
        index: (B,) int64, the number of each image in its data set. Random numbers are computed on its device.
        stream: gives users of the same salts different numbers, for example the transforms of a pipeline.

    Raises:
        ValueError: the index is not (B,) int64.

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
            got = f"{self.index.dtype} of shape {tuple(self.index.shape)}"
            raise ValueError(f"Counter: index must be int64 of shape (B,), one number an image, got {got}.")

    def bits(self, salt: int = 0) -> Tensor:
        """Return 64 random bits for each image, (B,) int64; every ``salt`` gives other bits."""
        # All but the index is hashed on the host, to one number, so that few operations are left for the device.
        return _hash(self.index * _signed(_GOLDEN) + _signed(self._key() + salt * _SALT_STEP))

    def _key(self) -> int:
        return _fold(self.seed, self.epoch, self.stream)

    def uniform(self, salt: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return (B,) float32, uniform in [low, high), of 24 random bits each; rounding may give ``high``."""
        return _unit(self.bits(salt)).mul_(high - low).add_(low)

    def uniforms(self, count: int) -> Tensor:
        """Return (count, B) float32, uniform in [0, 1): the numbers of salts 0, ..., count - 1, computed at once."""
        salts = torch.arange(count, device=self.index.device)[:, None] * _signed(_SALT_STEP)
        return _unit(_hash(self.index * _signed(_GOLDEN) + salts + _signed(self._key())))

    def integers(self, salt: int, low: int, high: int) -> Tensor:
        """Return (B,) int64, uniform in low, ..., high, at most 2**31 numbers.

        The bias is below (high - low + 1) / 2**32.
        """
        return (_shift(self.bits(salt), 32) * (high - low + 1) >> 32) + low

    def at_epoch(self, epoch: int) -> "Counter":
        """Return the counter of the same images in another epoch."""
        return replace(self, epoch=epoch)

    def at_stream(self, stream: int) -> "Counter":
        """Return a counter whose numbers are independent of this one's."""
        return replace(self, stream=stream)
