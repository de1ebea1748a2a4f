"""Balanced batches: counts, repetitions, and the same for workers, ranks and resumes."""

import pytest
import torch

from cnnkit.data.batches import Batches
from cnnkit.data.sampling import order_balanced

LABELS = torch.tensor([0] * 50 + [1] * 9 + [3] * 4)  # no image of class 2
IMAGES = torch.arange(63, dtype=torch.uint8).view(63, 1, 1, 1)


def make(**options) -> Batches:
    return Batches(IMAGES, LABELS, torch.arange(63), 10, seed=3, shuffle=True, balanced=True, **options)


def read(batches: Batches, epoch: int = 0) -> list[tuple[list[int], list[int]]]:
    batches.set_epoch(epoch)
    return [(batch.indices.tolist(), batch.draws.tolist()) for batch in batches]


@pytest.mark.parametrize("seed", range(5))
def test_classes_and_images_of_a_class_are_equally_frequent(seed: int) -> None:
    places, repetitions = order_balanced(LABELS, seed)
    assert len(places) == len(LABELS)
    assert sorted(LABELS[places].bincount().tolist()) == [0, 21, 21, 21]
    for label in (0, 1, 3):
        times = places.bincount(minlength=63)[label == LABELS]
        assert int(times.max() - times.min()) <= 1
    seen: dict[int, int] = {}
    for place, repetition in sorted(zip(places.tolist(), repetitions.tolist(), strict=True)):
        assert repetition == seen.get(place, 0)
        seen[place] = repetition + 1


def test_uneven_quotas_and_large_classes_change_with_the_seed() -> None:
    labels = torch.tensor([0] * 30 + [1, 2])
    drawn = [order_balanced(labels, seed)[0] for seed in range(20)]
    assert {tuple(sorted(labels[each].bincount().tolist())) for each in drawn} == {(10, 11, 11)}
    assert len({tuple(labels[each].bincount().tolist()) for each in drawn}) == 3
    assert len({tuple(sorted(each[labels[each] == 0].tolist())) for each in drawn}) > 10


def test_repetitions_are_augmented_by_other_numbers() -> None:
    draws = [draw for _, draws in read(make()) for draw in draws]
    assert len(set(draws)) == len(draws) == 63
    assert all(batch.repetitions is None for batch in Batches(IMAGES, LABELS, torch.arange(63), 10, shuffle=True))


def test_it_is_a_pure_function_of_seed_and_epoch() -> None:
    assert read(make(), 1) == read(make(), 1) != read(make(), 0)
    assert read(make(), 1) == read(make(num_workers=1), 1) == read(make(num_workers=2), 1)


def test_ranks_share_the_batches() -> None:
    whole, halves = read(make()), [read(make(rank=rank, world_size=2)) for rank in (0, 1)]
    assert whole == [(a[0] + b[0], a[1] + b[1]) for a, b in zip(*halves, strict=True)]


def test_a_resume_in_the_middle_of_an_epoch_goes_on() -> None:
    batches = make()
    batches.set_epoch(2)
    iterator = iter(batches)
    first = [next(iterator) for _ in range(3)]
    again = make()
    again.load_state_dict(batches.state_dict())
    rest = list(again)
    assert [(b.indices.tolist(), b.draws.tolist()) for b in (*first, *rest)] == read(make(), 2)
