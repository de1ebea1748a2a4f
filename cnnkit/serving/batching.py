"""Images of several requests become one batch."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from cnnkit.inference.results import Prediction
from cnnkit.serving.limits import Batching

Result = TypeVar("Result")


class Batcher:
    """Predicts images that wait together. One thread computes, because torch's own threads share out each batch.

    Args:
        predict: maps images, uint8 (B, C, H, W), to B predictions.
        batching: how many images a batch has, and how long it waits for them.
    """

    def __init__(self, predict: Callable[[Tensor], Sequence[Prediction]], batching: Batching) -> None:
        self._predict, self._batching = predict, batching
        self._waiting: deque[tuple[Tensor, asyncio.Future[Prediction]]] = deque()
        self._some, self._full = asyncio.Event(), asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "predicting")

    async def predict(self, images: Sequence[Tensor]) -> list[Prediction]:
        """Predict images, uint8 (C, H, W), together with those of other requests; a cancelled call drops its own."""
        futures: list[asyncio.Future[Prediction]] = [asyncio.get_running_loop().create_future() for _ in images]
        self._waiting.extend(zip(images, futures, strict=True))
        self._some.set()
        if len(self._waiting) >= self._batching.size:
            self._full.set()
        return await asyncio.gather(*futures)

    async def compute(self, function: Callable[[], Result]) -> Result:
        """Call a function in the thread that predicts."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def run(self) -> None:
        """Predict what comes, until cancelled."""
        try:
            while True:
                await self._some.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._batching.wait):
                        await self._full.wait()
                await self._predict_next()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _predict_next(self) -> None:
        batch = self._take()
        if not batch:  # their clients have gone
            return
        futures = [future for _, future in batch]
        try:
            found = await self.compute(lambda: self._predict(torch.stack([image for image, _ in batch])))
        except Exception as error:  # each request gets it, and the next batch may succeed
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, prediction in zip(futures, found, strict=True):
            if not future.done():
                future.set_result(prediction)

    def _take(self) -> list[tuple[Tensor, "asyncio.Future[Prediction]"]]:
        """The next images, without those whose clients have gone."""
        batch: list[tuple[Tensor, asyncio.Future[Prediction]]] = []
        while self._waiting and len(batch) < self._batching.size:
            image, future = self._waiting.popleft()
            if not future.done():
                batch.append((image, future))
        if not self._waiting:
            self._some.clear()
        if len(self._waiting) < self._batching.size:
            self._full.clear()
        return batch
