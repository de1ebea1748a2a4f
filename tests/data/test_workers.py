"""Worker processes end when what uses them does: by request, which takes a moment, and not by a timeout of torch's."""

import gc
import os
from multiprocessing import active_children
from typing import Any

import lightning as L
import pytest
import torch
from small_runs import SMALL, Cli
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from cnnkit import CNN, ClassificationTask, FashionMNISTSample
from cnnkit.data import Batches
from cnnkit.upstream import PRIVATE

pytestmark = pytest.mark.filterwarnings("ignore")
END = next(name for name in PRIVATE if name.endswith("_shutdown_workers"))


class ProcessNumbers:
    """In the place of images: the number of the process that reads them."""

    device = torch.device("cpu")

    def index_select(self, dim: int, index: torch.Tensor) -> torch.Tensor:
        return torch.full_like(index, os.getpid())


@pytest.fixture
def ended_by_request(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each set of workers that ended: whether its queues were open, so that the workers got the message."""
    found = []
    end = _MultiProcessingDataLoaderIter._shutdown_workers

    def look_and_end(iterator: Any) -> None:
        if not iterator._shutdown:
            found.append(all(not queue._closed for queue in iterator._index_queues))
        end(iterator)

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, END.rpartition(".")[2], look_and_end)
    return found


def read_all(num_workers: int = 2) -> Batches:
    batches = Batches(ProcessNumbers(), torch.zeros(12), torch.arange(12), 4, num_workers=num_workers)
    list(batches)
    assert len(active_children()) == num_workers
    return batches


def test_workers_end_with_their_loader(ended_by_request: list[bool]) -> None:
    batches = read_all()
    del batches
    assert (active_children(), ended_by_request) == ([], [True])


def test_workers_in_a_cycle_of_references_end_by_request_and_not_by_a_timeout(ended_by_request: list[bool]) -> None:
    class Trainer:
        def __init__(self) -> None:
            self.me, self.batches = self, read_all()
            self.iteration = iter(self.batches)
            next(self.iteration)

    Trainer()
    gc.collect()
    assert (active_children(), ended_by_request) == ([], [True])


def test_workers_that_are_ended_leave_the_rest_of_an_iteration_to_this_process() -> None:
    batches = Batches(ProcessNumbers(), torch.zeros(12), torch.arange(12), 4, num_workers=1)
    first = iter(batches)
    processes = {int(next(first).images[0])}
    batches.end_workers()
    assert active_children() == []
    rest = list(first)
    assert [batch.number for batch in rest] == [1, 2]
    assert {int(batch.images[0]) for batch in rest} == {os.getpid()} != processes
    assert len(list(batches)) == 3, "others start"


class Failing(ClassificationTask):
    def on_train_epoch_end(self) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [ClassificationTask, Failing])
def test_no_worker_outlives_a_fit(kind: type[ClassificationTask], ended_by_request: list[bool]) -> None:
    data = FashionMNISTSample(num_workers=2, batch_size=16, eval_batch_size=16, train_fraction=0.02)
    quiet = {"logger": False, "enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 1}
    limits = {"max_epochs": 2, "limit_train_batches": 2, "limit_val_batches": 2, "enable_checkpointing": False}
    trainer = L.Trainer(accelerator="cpu", **quiet, **limits)  # type: ignore[arg-type]
    task = kind(CNN(1, 10, 28, channels=(4,)))
    if kind is Failing:
        with pytest.raises(ZeroDivisionError):
            trainer.fit(task, datamodule=data)
    else:
        trainer.fit(task, datamodule=data)
    assert active_children() == []
    assert ended_by_request == [True, True], "of training and of validation"


def test_no_worker_outlives_a_command(cli: Cli) -> None:
    assert cli("fit", *SMALL, "--data.num_workers=1").code == 0
    assert active_children() == []
    for command in ("validate", "test", "predict"):
        limit = f"--trainer.limit_{command.removesuffix('idate')}_batches=2"
        assert cli(command, "--run", "runs", limit).code == 0
        assert active_children() == []
