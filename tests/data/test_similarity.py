"""Hashes of images against references in NumPy and SciPy, and pairs against a comparison one by one."""

import numpy as np
import torch
from scipy.fft import dctn
from torch import Tensor

from cnnkit.data.similarity import (
    SIDE,
    correlate_details,
    find_close,
    hash_perceptually,
    hash_pixels,
    is_flat,
    shrink_to_gray,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def photos(count: int, side: int = SIDE, seed: int = 0) -> Tensor:
    """Smooth images with some detail, uint8 (N, 3, side, side)."""
    coarse = torch.nn.functional.interpolate(noise(count, 3, 6, 6, seed=seed).float(), (side, side), mode="bicubic")
    fine = noise(count, 3, side, side, seed=seed + 1).float() / 8
    return (coarse * 0.8 + fine).clamp(0, 255).to(torch.uint8)


def test_equal_images_and_no_others_have_equal_hashes() -> None:
    images = noise(2000, 1, 7, 5)
    images[1500] = images[3]
    changed = images[:35].clone()
    changed.flatten(1)[range(35), range(35)] ^= 128  # one bit, at each place
    found = hash_pixels(torch.cat([images, changed]))
    values, counts = found.unique(return_counts=True)
    assert len(values) == 2034
    assert found[1500] == found[3] == values[counts == 2]
    zeros = hash_pixels(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    assert zeros[0] == zeros[1]


def test_a_permutation_of_the_pixels_is_another_image() -> None:
    image = noise(1, 1, 8, 8)
    assert len({int(hash_pixels(each)) for each in (image, image.flip(-1), image.flip(-2), image.mT)}) == 4


def test_the_perceptual_hash_is_the_signs_of_low_frequencies() -> None:
    gray = shrink_to_gray(photos(50))
    order = sorted(((u, v) for u in range(9) for v in range(9) if u + v), key=lambda p: (p[0] + p[1], p))[:64]
    for image, found in zip(gray.numpy(), hash_perceptually(gray).numpy(), strict=True):
        low = np.array([dctn(image.astype(float))[place] for place in order])
        bits = low > np.sort(low)[31]
        assert bin(int(found) & (2**64 - 1)).count("1") == 32
        assert [bool(int(found) >> k & 1) for k in range(64)] == bits.tolist()


def test_similar_images_have_close_hashes_and_others_do_not() -> None:
    images = photos(60, side=64)
    changed = (images.float() * 0.7 + 30 + noise(*images.shape, seed=5).float() / 16).clamp(0, 255).to(torch.uint8)
    before, after = (hash_perceptually(shrink_to_gray(each)) for each in (images, changed))
    pairs = torch.cat(list(find_close(before, after, 10)))
    assert pairs[:, :2].tolist() == [[k, k] for k in range(60)]
    half = hash_perceptually(shrink_to_gray(torch.nn.functional.avg_pool2d(images.float(), 2).to(torch.uint8)))
    assert torch.cat(list(find_close(before, half, 8)))[:, :2].tolist() == [[k, k] for k in range(60)]


def test_pairs_are_those_of_a_comparison_one_by_one() -> None:
    generator = np.random.default_rng(0)
    centers = generator.integers(0, 2**63, 40)
    flips = generator.integers(0, 64, (9000, 5))
    words = centers[generator.integers(0, 40, 9000)] ^ np.bitwise_xor.reduce(1 << flips, 1)
    hashes = torch.from_numpy(words)
    first, second = hashes[:300], hashes[4000:9000]  # more than a block of columns
    found = {tuple(row) for block in find_close(first, second, 6) for row in block.tolist()}
    a, b = (np.unpackbits(part.numpy().view(np.uint8).reshape(-1, 8), axis=1) for part in (first, second))
    distances = (a[:, None].astype(np.int8) ^ b[None]).sum(2)
    expected = {(int(i), int(j), int(distances[i, j])) for i, j in zip(*np.nonzero(distances <= 6), strict=True)}
    assert found == expected
    assert len(found) > 100
    within = {tuple(row) for block in find_close(hashes[:400], None, 6) for row in block.tolist()}
    both = {tuple(row) for block in find_close(hashes[:400], hashes[:400], 6) for row in block.tolist()}
    assert within == {row for row in both if row[0] < row[1]}


def test_details_agree_for_shifted_images_only() -> None:
    gray = shrink_to_gray(photos(20, side=40))
    wide = photos(20, side=36)
    a, b = (shrink_to_gray(wide[..., k : k + 32, k : k + 32]) for k in (0, 2))
    assert correlate_details(a, b).min() > 0.99
    assert correlate_details(gray, gray.roll(1, 0)).max() < 0.5


def test_a_flat_image_says_nothing() -> None:
    gray = torch.full((2, SIDE, SIDE), 200, dtype=torch.uint8)
    gray[1, :16] = 0
    assert is_flat(gray).tolist() == [True, False]
    assert correlate_details(gray[:1], gray[:1]).tolist() == [0.0]
