"""Processes that gather batches ahead, kept from epoch to epoch and ended on purpose.

torch ends the workers of a `DataLoader` when the last reference to their iterator goes. In a cycle of references, and a
trainer always is in one, the queues to the workers close before that, and torch waits for each worker until a timeout.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from cnnkit.errors import UserError
from cnnkit.upstream import private

Place = tuple[int, int]  # epoch and number of a batch


class Workers:
    """Worker processes; the first iteration starts them.

    They end with `end`, with this object, wherever it is referred to, and with the program.

    Args:
        gather: returns the batch of an epoch and a number; must not refer to this object.
        count: how many processes.
    """

    def __init__(self, gather: Callable[[int, int], Any], count: int) -> None:
        self._plan: list[Place] = []
        self._loader: DataLoader[Any] = DataLoader(
            _ByPlace(gather),  # type: ignore[arg-type]
            batch_size=None,
            sampler=self._plan,
            num_workers=count,
            persistent_workers=True,
            # Of its own, because DataLoader would draw its seed from the global one and disturb the run.
            generator=torch.Generator(),
        )
        self._ending: weakref.finalize[..., Any] | None = None
        self.busy = False  # whether an iteration uses them

    def gather(self, places: Sequence[Place]) -> Iterator[Any]:
        """Yield the batches of these places, in order; after `end` no more of them.

        Raises:
            UserError: a worker has raised it.
        """
        self._plan[:] = places
        self.busy = True
        try:
            batches = iter(self._loader)
            if self._ending is None:
                end = private("torch.utils.data.dataloader._MultiProcessingDataLoaderIter._shutdown_workers")
                self._ending = weakref.finalize(self, end, batches)
            for _ in places:
                if not self._ending.alive:
                    return
                batch = next(batches)
                if isinstance(batch, UserError):
                    raise batch
                yield batch
        finally:
            self.busy = False

    def end(self) -> None:
        """End the processes and wait for that, which takes a moment; they do not start again."""
        if self._ending is not None:
            self._ending()


class _ByPlace:
    def __init__(self, gather: Callable[[int, int], Any]) -> None:
        self.gather = gather

    def __getitem__(self, place: Place) -> Any:
        try:
            return self.gather(*place)
        except UserError as error:  # raised in the worker, it would arrive as a traceback in a string
            return error
