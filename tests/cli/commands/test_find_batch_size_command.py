"""``find-batch-size``: which sizes are tried, and what ends the search."""

import json
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_runs import SMALL_NET, Cli

from cnnkit.cli.commands import find_batch_size
from cnnkit.data import FashionMNISTSample, image_files
from cnnkit.errors import UserError
from cnnkit.inspection.complexity import MEGABYTE, complexity
from cnnkit.models import CNN
from cnnkit.tasks import ClassificationTask

SEARCH = ["find-batch-size", *SMALL_NET, "--min=8"]


def test_sizes_double_up_to_the_largest(cli: Cli) -> None:
    ended = cli(*SEARCH, "--max=40", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert list(map(int, found["speeds"])) == [8, 16, 32]
    assert all(speed > 0 for speed in found["speeds"].values())
    assert (found["largest"], found["ended_by"]) == (32, "--max")
    assert str(found["suggestion"]) in found["speeds"]
    assert found["use"] == f"--data.batch_size {found['suggestion']}"
    assert not list(Path().iterdir())


def test_the_memory_of_a_cpu_bounds_the_search(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = complexity(CNN(1, 10, 28, channels=(4, 8), hidden_sizes=(16,)), (1, 28, 28))
    each = (cost.forward_backward_megabytes + cost.input_megabytes) * MEGABYTE
    monkeypatch.setattr(image_files, "measure_free_memory", lambda: int(20 * each / 0.25) + 1000)
    found = json.loads(cli(*SEARCH, "--memory_share=0.25", "--json").out)
    assert list(map(int, found["speeds"])) == [8, 16]
    assert "25% of the free memory" in found["ended_by"]
    refused = cli(*SEARCH, "--memory_share=0.05")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "--min is 8, more than" in refused.err


def test_a_size_that_does_not_fit_ends_the_search(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    step = ClassificationTask.training_step

    def limited(self: ClassificationTask, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        if len(batch[0]) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return step(self, batch, index)

    monkeypatch.setattr(ClassificationTask, "training_step", limited)
    found = json.loads(cli(*SEARCH, "--max=64", "--json").out)
    assert (found["largest"], found["ended_by"]) == (16, "memory ran out at 32")


def test_a_share_of_memory_without_effect_is_refused() -> None:
    data = FashionMNISTSample()
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))
    trial = SimpleNamespace(data=data, task=ClassificationTask(CNN(1, 10, 28)), trainer=trainer)
    args = Namespace(min=8, max=64, memory_share=None)
    assert find_batch_size._find_bound(trial, args) == (64, "--max")  # type: ignore[arg-type]
    args.memory_share = 0.2
    with pytest.raises(UserError, match="--memory_share bounds the memory of a CPU, and this search runs on cuda"):
        find_batch_size._find_bound(trial, args)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--max 4", "--min is 8 and --max 4"),
        ("--memory_share 2", "expected a number from 0 to 1"),
        ("--trainer.overfit_batches 2", "trainer.overfit_batches is 2: a search needs whole epochs"),
        ("--model TransferTask --model.mode embeddings", "any batch size fits"),
        ("--min 0", "expected a whole number from 1 on"),
    ],
)
def test_what_cannot_be_searched_is_refused(cli: Cli, words: str, said: str) -> None:
    ended = cli(*SEARCH, *words.split())
    assert ended.code == 2
    assert len(ended.err.splitlines()) <= 2, ended.err  # a note of the configuration, the error
    assert said in ended.err
