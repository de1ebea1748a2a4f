import pytest
import torch

from cnnkit.randomness import Counter, mix_seed

MANY = 20_000


def bit_planes(values):
    return (values[:, None] >> torch.arange(64)) & 1


def correlation(a, b):
    return torch.corrcoef(torch.stack((a, b)).double())[0, 1].abs().item()


def test_numbers_never_change_silently():
    """Published results depend on these; a change makes every seed another seed."""
    counter = Counter(seed=1, epoch=2, index=torch.tensor([0, 1, 49_999, 2**62]), stream=3)
    assert counter.bits(4).tolist() == [
        400668373682287623,
        8261448874479827086,
        -1426002917411621291,
        3948271297806505990,
    ]
    assert mix_seed(0, 1) == 915340268681433045


def test_hash_is_splitmix64():
    from cnnkit import randomness as counter

    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # seed 0
    states = [(k * counter._GOLDEN) % 2**64 for k in (1, 2, 3)]
    assert [counter._finalize(state) for state in states] == published
    on_tensor = counter._hash(torch.tensor([counter._signed(state) for state in states]))
    assert [value % 2**64 for value in on_tensor.tolist()] == published


def test_all_bits_are_fair_and_independent():
    planes = bit_planes(Counter(0, 0, torch.arange(MANY)).bits()).double()
    assert (planes.mean(0) - 0.5).abs().max() < 5 * 0.5 / MANY**0.5
    between = torch.corrcoef(planes.T) - torch.eye(64)
    assert between.abs().max() < 5.5 / MANY**0.5


@pytest.mark.parametrize(("low", "high"), [(0, 8), (-3, 3), (0, 80)])
def test_integers_are_uniform_with_both_ends(low, high):
    values = Counter(3, 1, torch.arange(MANY)).integers(0, low, high)
    assert values.min() == low
    assert values.max() == high
    counts = torch.bincount(values - low, minlength=high - low + 1).double()
    expected = MANY / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = len(counts) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


def test_uniform_fills_its_range():
    values = Counter(0, 0, torch.arange(MANY)).uniform(0, -2.0, 6.0)
    assert values.dtype == torch.float32
    assert -2 <= values.min() < -1.99
    assert 5.99 < values.max() <= 6
    ends, _ = ((values.sort().values + 2) / 8 - torch.linspace(0, 1, MANY)).abs().max(0)
    assert ends < 1.95 / MANY**0.5  # Kolmogorov-Smirnov, 0.1 %


def test_neighbors_are_uncorrelated():
    index = torch.arange(MANY)
    base = Counter(seed=0, epoch=0, index=index)
    reference = base.uniform(0)
    others = [
        base.at_epoch(1).uniform(0),
        base.at_stream(1).uniform(0),
        base.uniform(1),
        Counter(1, 0, index).uniform(0),
        Counter(0, 0, index + 1).uniform(0),
        Counter(1, -1, index).uniform(0),
    ]
    for other in others:
        assert correlation(reference, other) < 4.5 / MANY**0.5
        assert (reference == other).float().mean() < 0.001


def test_every_part_of_the_name_counts():
    index = torch.arange(4)
    names = [(s, e, t, k) for s in range(4) for e in range(4) for t in range(4) for k in range(4)]
    bits = torch.cat([Counter(s, e, index, t).bits(k) for s, e, t, k in names])
    assert len(bits.unique()) == len(bits)


def test_number_of_an_image_ignores_the_batch():
    index = torch.randperm(1000)
    alone = torch.cat([Counter(5, 6, one).bits(7) for one in index.split(1)])
    assert torch.equal(Counter(5, 6, index).bits(7), alone)


def test_uniforms_are_the_first_salts():
    counter = Counter(5, 6, torch.arange(9), stream=2)
    assert torch.equal(counter.uniforms(4), torch.stack([counter.uniform(salt) for salt in range(4)]))


def test_mix_seed_depends_on_order_and_length():
    values = [mix_seed(*ints) for ints in [(), (0,), (0, 0), (0, 1), (1, 0), (1,), (-1,), (2**63,)]]
    assert len(set(values)) == len(values)
    assert all(0 <= value < 2**63 for value in values)


@pytest.mark.parametrize("index", [torch.zeros(2, dtype=torch.int32), torch.zeros(2, 1, dtype=torch.int64)])
def test_index_must_be_one_int64_an_image(index):
    with pytest.raises(ValueError, match=r"int64 of shape \(B,\)"):
        Counter(0, 0, index)
