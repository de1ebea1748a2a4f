"""A predictor that answers many requests at once: decoding in some threads, the net in another one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from starlette.requests import ClientDisconnect, Request
from torch import Tensor

from cnnkit.data.images.decode import TooManyPixels
from cnnkit.data.images.source import EncodedImage
from cnnkit.errors import UserError
from cnnkit.inference.images import read_pixels
from cnnkit.inference.predictor import Predictor
from cnnkit.inference.results import ImageExplanation, Prediction
from cnnkit.serving.batching import Batcher
from cnnkit.serving.bodies import read_images
from cnnkit.serving.limits import Batching, Limits, Refused
from cnnkit.serving.metrics import Metrics
from cnnkit.threads import count_usable_cores

Result = TypeVar("Result")
_DECODERS = 4  # at most: each may take 200 MB


class Service:
    """Answers requests with a predictor, within limits.

    Args:
        predictor: the trained net.
        limits: of each request, and of their number.
        batching: of images that wait.
    """

    def __init__(self, predictor: Predictor, limits: Limits, batching: Batching) -> None:
        self.predictor, self.limits = predictor, limits
        self.waiting = 0
        self.metrics = Metrics(lambda: self.waiting)
        data = predictor.preprocessing
        self._data = data if limits.pixels is None else replace(data, max_pixels=limits.pixels)
        self._batcher = Batcher(self._predict, batching)
        self._decoders = ThreadPoolExecutor(min(_DECODERS, count_usable_cores()), "decoding")
        self._multilabel, self.no_maps = self._warm_up()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Within it requests are answered."""
        batches = asyncio.create_task(self._batcher.run())
        try:
            yield
        finally:
            batches.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await batches
            self._decoders.shutdown(wait=False, cancel_futures=True)

    async def predict(self, request: Request) -> tuple[list[EncodedImage], list[Prediction]]:
        """Predict the images of a request.

        Raises:
            Refused: it is beyond the limits, or holds something else than images.
            ClientDisconnect: the client has gone.
        """

        async def work(images: list[EncodedImage]) -> tuple[list[EncodedImage], list[Prediction]]:
            return images, await self._batcher.predict(await self._decode(images))

        return await self._answer(request, work)

    async def explain(self, request: Request, label: str | None) -> ImageExplanation:
        """Explain the class of one image, by default the predicted one.

        Raises:
            Refused: as `predict`; the net has no such class, or no maps.
            ClientDisconnect: the client has gone.
        """
        if self.no_maps is not None:
            raise Refused(501, f"there is no heat map of this net: {self.no_maps}")

        async def work(images: list[EncodedImage]) -> ImageExplanation:
            if len(images) > 1:
                raise Refused(422, f"{len(images)} images: one at a time is explained")
            [pixels] = await self._decode(images)
            [found] = await self._batcher.compute(lambda: self.predictor.explain(pixels, label, quick=True))
            return found

        return await self._answer(request, work)

    async def _answer(
        self, request: Request, work: Callable[[list[EncodedImage]], Coroutine[Any, Any, Result]]
    ) -> Result:
        """Read the images of a request and work on them, in the time of both."""
        if self.waiting >= self.limits.queue:
            raise Refused(503, f"{self.waiting} requests are waiting: try again in a second", {"Retry-After": "1"})
        images: list[EncodedImage] | None = None
        self.waiting += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                images = await read_images(request, self.limits)
                return await _until_gone(request, work(images))
        except TimeoutError:
            if images is None:
                raise Refused(408, f"the request was not complete after {self.limits.seconds:g} seconds") from None
            raise Refused(504, f"there was no answer in {self.limits.seconds:g} seconds: try again later") from None
        except TooManyPixels as error:
            raise Refused(413, str(error)) from None
        except UserError as error:  # a broken image, an unknown class
            raise Refused(422, str(error)) from None
        finally:
            self.waiting -= 1

    async def _decode(self, images: Sequence[EncodedImage]) -> list[Tensor]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(self._decoders, read_pixels, image, self._data) for image in images)
        )

    def _predict(self, images: Tensor) -> Sequence[Prediction]:
        began = time.perf_counter()
        found = self.predictor.predict(images)
        self.metrics.count_batch(len(images), time.perf_counter() - began)
        return found

    def describe(self) -> dict[str, Any]:
        """Return what a client may want to know of the net."""
        data = self._data
        return {
            "model": _name(self.predictor.path),
            "classes": list(self.predictor.class_names),
            "channels": data.in_channels,
            "image_size": list(data.size),
            "dark_background": sum(data.mean) / len(data.mean) < 0.5,
            "multilabel": self._multilabel,
            "no_heat_map": self.no_maps,
        }

    def _warm_up(self) -> tuple[bool, str | None]:
        """Use the net once, because the first time is slow and shows a net that does not work.

        Returns:
            Whether an image may have several classes; and why there are no heat maps, None if there are.
        """
        black = torch.zeros(self._data.in_channels, *self._data.size, dtype=torch.uint8)
        multilabel = self.predictor.predict(black).thresholds is not None
        try:
            self.predictor.explain(black, quick=True)
        except UserError as error:
            return multilabel, str(error)
        return multilabel, None


def _name(path: Path) -> str:
    """Name a model by its run, or by its file; other people need not know the folders above."""
    run = path.resolve().parents[1] if path.parent.name == "checkpoints" else None
    return path.name if run is None else f"{run.parent.name}/{run.name}"


async def _until_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Wait for the work, and drop it if the client goes before.

    Raises:
        ClientDisconnect: the client has gone.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
