"""The loader's promise: the same batches whatever the workers, ranks and resumes."""

import os
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.data import Batches
from cnnkit.errors import UserError

N = 103
IMAGES = torch.arange(N, dtype=torch.uint8).view(N, 1, 1, 1).expand(N, 1, 2, 2).contiguous()
LABELS = torch.arange(N) % 10


def loader(**kwargs: object) -> Batches:
    return Batches(IMAGES, LABELS, torch.arange(N), **{"batch_size": 10, "seed": 3, "shuffle": True, **kwargs})  # type: ignore[arg-type]


def flat(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def indices(batches: Batches, epoch: int = 0) -> list[list[int]]:
    batches.set_epoch(epoch)
    return [batch.indices.tolist() for batch in batches]


def test_a_batch_holds_the_images_and_labels_of_its_indices() -> None:
    for batch in loader():
        assert batch.images.dtype == torch.uint8
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, LABELS[batch.indices])


def test_every_image_once_an_epoch_and_a_new_order_each_epoch() -> None:
    first, second = indices(loader(), 0), indices(loader(), 1)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(N))
    assert first != second
    assert first == indices(loader(), 0)
    assert first != indices(loader(seed=4), 0)


def test_a_plain_loop_over_epochs_gets_new_orders_without_set_epoch() -> None:
    batches = loader()
    epochs = [[batch.indices.tolist() for batch in batches] for _ in range(3)]
    assert epochs == [indices(loader(), epoch) for epoch in range(3)]


def test_drop_last_keeps_whole_batches_only() -> None:
    assert [len(b) for b in indices(loader(drop_last=True))] == [10] * 10
    assert len(loader(drop_last=True)) == 10
    assert [len(b) for b in indices(loader())][-1] == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    before = torch.get_rng_state()
    found = list(loader(num_workers=workers))
    assert torch.equal(before, torch.get_rng_state())  # nor the run's own random numbers
    for one, other in zip(loader(), found, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.indices, other.indices)
        assert (one.epoch, one.number) == (other.epoch, other.number)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(8, 60), batch=st.integers(1, 20), world=st.integers(1, 4), epoch=st.integers(0, 3))
def test_the_ranks_together_see_what_one_process_sees(size: int, batch: int, world: int, epoch: int) -> None:
    def make(rank: int, world_size: int) -> Batches:
        return Batches(
            IMAGES, LABELS, torch.arange(size), batch * world, seed=1, shuffle=True, rank=rank, world_size=world_size
        )

    ranks = [indices(make(r, world), epoch) for r in range(world)]
    assert len({len(r) for r in ranks}) == 1  # the same number of steps, or DDP hangs
    assert all(batch for rank in ranks for batch in rank)  # no rank gets an empty batch, whose mean is no number
    together = [flat(parts) for parts in zip(*ranks, strict=True)]
    assert Counter(flat(together)) == Counter(range(size))  # none twice, none left out
    alone = indices(make(0, 1), epoch)
    assert together[:-1] == alone[: len(together) - 1]


@pytest.mark.parametrize("stop", [0, 1, 5, 10])
@pytest.mark.parametrize("workers", [0, 1])
def test_two_integers_bring_a_loader_back(stop: int, workers: int) -> None:
    first = loader(num_workers=workers)
    first.set_epoch(2)
    iterator = iter(first)
    seen = [next(iterator).indices.tolist() for _ in range(stop)]
    state = first.state_dict()
    assert state == {"epoch": 2, "batch": stop}
    again = loader()
    again.load_state_dict(state)
    again.set_epoch(2)
    assert seen + [batch.indices.tolist() for batch in again] == indices(loader(), 2)


def test_an_iteration_that_was_broken_off_starts_anew() -> None:
    batches = loader(shuffle=False)
    next(iter(batches))
    assert next(iter(batches)).number == 0


def test_lightning_may_call_iter_before_it_names_the_epoch() -> None:
    batches = loader()
    early = iter(batches)
    batches.set_epoch(4)
    assert next(early).indices.tolist() == indices(loader(), 4)[0]


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 60), batch=st.integers(1, 20), world=st.integers(1, 5))
def test_evaluation_scores_each_image_once_or_is_refused_by_name(size: int, batch: int, world: int) -> None:
    def make(rank: int) -> Batches:
        return Batches(IMAGES, LABELS, torch.arange(size), batch, rank=rank, world_size=world)

    if batch < world or size < world:
        key = rf"data\.eval_batch_size is {batch}, but {world} ranks" if batch < world else r"lower trainer\.devices"
        with pytest.raises(UserError, match=key):
            make(0)
        return
    ranks = [indices(make(rank), 0) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    assert all(part for batches in ranks for part in batches)
    assert sorted(flat([flat(batches) for batches in ranks])) == list(range(size))


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"batch_size": 0}, r"data\.batch_size is 0: give at least 1"),
        ({"batch_size": 0, "shuffle": False}, r"data\.eval_batch_size is 0"),
        ({"batch_size": 200, "drop_last": True}, r"data\.batch_size is 200, but there are only \d+ images"),
        ({"drop_last": True, "world_size": 3}, r"data\.batch_size \d+ cannot be shared by 3 ranks"),
        ({"batch_size": 1, "world_size": 2}, r"data\.batch_size is 1, but 2 ranks share each batch: give at least 2"),
    ],
)
def test_batch_sizes_that_cannot_be_are_refused(kwargs: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        loader(**kwargs)


class ProcessNumbers:
    """In the place of images: the number of the process that reads them, and their indices."""

    device = torch.device("cpu")

    def index_select(self, dim: int, index: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.full_like(index, os.getpid()), index], 1)


def test_workers_live_on_from_epoch_to_epoch():
    batches = Batches(ProcessNumbers(), torch.zeros(24), torch.arange(24), 4, seed=5, shuffle=True, num_workers=2)
    workers = set()
    for epoch in range(4):
        batches.set_epoch(epoch)
        for number, batch in enumerate(batches):
            workers |= set(batch.images[:, 0].tolist())
            assert torch.equal(batch.images[:, 1], batches.rank_indices(epoch, number))
            if epoch == 1 and number == 2:
                break  # as trainer.limit_train_batches does; what was fetched ahead is dropped
    assert len(workers) == 2
    assert os.getpid() not in workers


def test_two_iterations_at_once_do_not_take_each_others_batches():
    batches = Batches(ProcessNumbers(), torch.zeros(12), torch.arange(12), 4, num_workers=1)
    for first, second in zip(batches, batches, strict=True):
        assert torch.equal(first.indices, second.indices)
