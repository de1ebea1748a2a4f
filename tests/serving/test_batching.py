"""Images that wait share a batch, each gets its own answer, and those of nobody are left out."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnkit.inference.results import Prediction, Predictions
from cnnkit.serving.batching import Batcher
from cnnkit.serving.limits import Batching


class Net:
    """Says of an image its first pixel, and waits in the first batch until it is let go."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, images: Tensor) -> Predictions:
        values = images[:, 0, 0, 0].tolist()
        self.batches.append(values)
        self.begun.set()
        assert self.free.wait(20)
        if 99 in values:
            raise RuntimeError("99 is too much")
        return Predictions([""] * len(values), np.array([[v, 0] for v in values], np.float32), ["a", "b"])


def image(value: int) -> Tensor:
    return torch.full((1, 2, 2), value, dtype=torch.uint8)


async def begin(net: Net, batcher: Batcher) -> "asyncio.Task[list[Prediction]]":
    """Occupy the net with a first image."""
    first = asyncio.ensure_future(batcher.predict([image(0)]))
    await asyncio.to_thread(net.begun.wait, 20)
    return first


def run(batching: Batching, work: Callable[[Net, Batcher], Awaitable[Any]]) -> list[list[int]]:
    net = Net()
    batcher = Batcher(net, batching)

    async def main() -> None:
        task = asyncio.ensure_future(batcher.run())
        try:
            async with asyncio.timeout(20):
                await work(net, batcher)
        finally:
            net.free.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    return net.batches


def test_what_waits_while_the_net_computes_is_the_next_batch() -> None:
    async def work(net: Net, batcher: Batcher) -> None:
        first = await begin(net, batcher)
        others = [asyncio.ensure_future(batcher.predict([image(10 * k + j) for j in range(k)])) for k in (1, 2, 3)]
        await asyncio.sleep(0)
        net.free.set()
        found = [[round(each.probability) for each in answer] for answer in await asyncio.gather(first, *others)]
        assert found == [[0], [10], [20, 21], [30, 31, 32]]

    assert run(Batching(4, 0.0), work) == [[0], [10, 20, 21, 30], [31, 32]]


def test_a_full_batch_does_not_wait_for_more() -> None:
    async def work(net: Net, batcher: Batcher) -> None:
        net.free.set()
        await batcher.predict([image(k) for k in range(4)])

    assert run(Batching(2, 1000.0), work) == [[0, 1], [2, 3]]


def test_images_of_requests_that_were_dropped_are_not_computed() -> None:
    async def work(net: Net, batcher: Batcher) -> None:
        first = await begin(net, batcher)
        others = [asyncio.ensure_future(batcher.predict([image(k), image(10 + k)])) for k in (1, 2, 3)]
        await asyncio.sleep(0)
        others[1].cancel()
        await asyncio.gather(others[1], return_exceptions=True)
        net.free.set()
        await asyncio.gather(first, others[0], others[2])

    assert run(Batching(32, 0.0), work) == [[0], [1, 11, 3, 13]]


def test_a_batch_that_fails_is_the_error_of_its_requests_alone() -> None:
    async def work(net: Net, batcher: Batcher) -> None:
        first = await begin(net, batcher)
        others = [asyncio.ensure_future(batcher.predict([image(value)])) for value in (99, 1, 2)]
        await asyncio.sleep(0)
        net.free.set()
        assert round((await first)[0].probability) == 0
        for other in others[:2]:
            with pytest.raises(RuntimeError, match="99 is too much"):
                await other
        assert round((await others[2])[0].probability) == 2

    assert run(Batching(2, 0.0), work) == [[0], [99, 1], [2]]
