"""A value that a class refuses names its key, and file and line if it came from one; nothing is left behind."""

import re
from pathlib import Path

import pytest
from small_runs import Cli, CommandResult

CARD = """\
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, enable_progress_bar: false}
model:
  init_args:
    net: {class_path: CNN, init_args: {channels: [2, 2], hidden_sizes: [], dropout: 0.1, kernel_size: 3}}
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1, momentum: 0.9}}
    label_smoothing: 0.1
data:
  class_path: FashionMNISTSample
  init_args:
    batch_size: 64
    eval_batch_size: 100
    num_workers: 0
    augment: [{class_path: RandomCrop, init_args: {padding: 1}}, {class_path: Cutout, init_args: {size: 4}}]
watch: null
"""
IN_FILES = [
    ("lr: 0.1", "lr: -1", "c.yaml, line 5: model.optimizer.lr is -1"),
    ("momentum: 0.9", "momentum: -1", "c.yaml, line 5: model.optimizer.momentum is -1"),
    ("lr: 0.1", "lr: .inf", "c.yaml, line 5: model.optimizer.lr is inf: give a finite number"),
    ("lr: 0.1", "lr: .nan", "c.yaml, line 5: model.optimizer.lr: '.nan' is no value to compute with"),
    ("dropout: 0.1", "dropout: 1.5", "c.yaml, line 4: model.net.dropout is 1.5: dropout probability has to be between"),
    ("channels: [2, 2]", "channels: [0]", "c.yaml, line 4: model.net.channels is [0]: "),  # refused when it computes
    ("channels: [2, 2]", "channels: [2, -2]", "c.yaml, line 4: model.net.channels is [2, -2]: "),
    ("kernel_size: 3", "kernel_size: 0", "c.yaml, line 4: model.net.kernel_size is 0"),
    ("label_smoothing: 0.1", "label_smoothing: 2", "c.yaml, line 6: model.label_smoothing is 2.0: give a share from 0"),
    (" batch_size: 64", " batch_size: 0", "c.yaml, line 10: data.batch_size is 0: give at least 1"),
    (
        " batch_size: 64",
        " batch_size: 9001",
        "c.yaml, line 10: data.batch_size is 9001, but there are only 9000 images",
    ),
    ("eval_batch_size: 100", "eval_batch_size: 0", "c.yaml, line 11: data.eval_batch_size is 0: give at least 1"),
    ("num_workers: 0", "num_workers: -1", "c.yaml, line 12: data.num_workers is -1: give at least 0"),
    ("size: 4", "size: -4", "c.yaml, line 13: data.augment.size is -4: "),
    ("trainer:", "seed_everything: -1\ntrainer:", "c.yaml, line 1: seed_everything is -1: give a whole number from 0"),
    ("enable_progress_bar: false", "val_check_interval: 0", "c.yaml, line 1: trainer.val_check_interval is 0"),
]
TYPED = [
    ("--model.net.dropout -1", "error: model.net.dropout is -1: dropout probability"),
    ("--trainer.callbacks+=EMA --trainer.callbacks.decay 2", "error: trainer.callbacks.decay is 2.0: give a share"),
    (
        "--trainer.callbacks+=EarlyStoping",
        "trainer.callbacks: there is no class 'EarlyStoping' for it; did you mean Ea",
    ),
    ("--trainer.callbacks [EMA,EarlyStoping]", "trainer.callbacks: there is no class 'EarlyStoping' for it; did you"),
    ("--model own.Own --model.limit 11", "error: model.limit is 11: a limit is at most 10"),
]


def assert_refused(ended: CommandResult, expected: str) -> None:
    errors = [line for line in ended.err.splitlines() if not line.startswith(("note: ", "Seed set"))]
    assert ended.code == 2, ended.err
    assert errors[0].startswith("error: ")
    assert len(errors) <= 3
    assert expected in errors[0]
    assert not Path("runs").exists()


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CARD)
    (tmp_path / "own.py").write_text(
        "from cnnkit import ClassificationTask\n"
        "class Own(ClassificationTask):\n"
        "    def __init__(self, limit=1, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        if limit > 10:\n"
        "            raise ValueError('a limit is at most 10')\n"
        "        [][limit:].index(0) if limit == 2 else {1: 1, 3: 3}[limit]\n"
        "    def compute_loss(self, batch):\n"
        "        raise ValueError('a bug in the loss')\n"
    )


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(("old", "new", "expected"), IN_FILES, ids=[new.strip()[:30] for _, new, _ in IN_FILES])
def test_in_a_file(cli: Cli, old: str, new: str, expected: str) -> None:
    assert old in CARD
    Path("c.yaml").write_text(CARD.replace(old, new, 1))
    assert_refused(cli("fit", "--config", "c.yaml"), expected)


@pytest.mark.parametrize(("words", "expected"), TYPED, ids=[words for words, _ in TYPED])
def test_typed(cli: Cli, words: str, expected: str) -> None:
    assert_refused(cli("fit", "--config", "c.yaml", *words.split()), expected)


def test_two_wrong_arguments_are_both_named(cli: Cli) -> None:
    Path("c.yaml").write_text(CARD.replace("dropout: 0.1", "dropout: 3").replace("channels: [2, 2]", "channels: [-2]"))
    ended = cli("fit", "--config", "c.yaml")
    assert_refused(ended, "c.yaml, line 4: model.net: CNN cannot be built with channels=[-2]")
    assert "dropout=3" in ended.err


def test_what_is_wrong_with_the_code_is_no_mistake_of_the_configuration(cli: Cli) -> None:
    for words, error in (
        (["--model.limit=5"], "KeyError: 5"),  # in the constructor
        (["--model.limit=3"], "ValueError: a bug in the loss"),  # before the first step, but not in a constructor
    ):
        ended = cli("fit", "--config", "c.yaml", "--model=own.Own", *words)
        assert ended.code == 1
        assert re.search(rf"own\.py, line \d+: {error}\n--debug shows the whole traceback\n$", ended.err)
    assert not Path("runs").exists()
