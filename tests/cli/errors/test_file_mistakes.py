"""Every mistake in a file: exit code 2, one to three lines that name file and line, the reason and what to do."""

from pathlib import Path

import pytest
from mistakes import CONFIG, assert_told
from small_runs import Cli

IN_FILES = [
    ("seed_everything", "seed_evrything", "c.yaml, line 1: seed_evrything: unknown key; did you mean seed_everything?"),
    (
        "max_epochs",
        "max_epoch",
        "line 2: trainer.max_epoch: the trainer has no such argument; did you mean max_epochs?",
    ),
    ("    scheduler", "    label_smoothin: 0.1\n    scheduler", "line 8: model.label_smoothin: ClassificationTask has"),
    ("channels", "chanels", "line 6: model.net.chanels: CNN has no such argument; did you mean channels?"),
    ("lr: 0.001", "lrr: 0.001", "line 7: model.optimizer.lrr: Adam has no such argument; did you mean lr?"),
    ("LR}", "LR, init_args: {warm: 0.1}}", "line 8: model.scheduler.warm: WarmupCosineLR has no such argument"),
    ("batch_size", "batchsize", "line 10: data.batchsize: FashionMNISTSample has no such argument; did you mean batch"),
    ("init_args: {batch", "init_arg: {batch", "line 10: data: unknown key 'init_arg'; did you mean init_args?"),
    ("data: {class_path", "data: {classpath", "line 10: data: unknown key 'classpath'; did you mean class_path?"),
    ("path: CNN", "path: CNNN", "line 6: model.net: there is no class 'CNNN' for it; did you mean CNN?"),
    ("path: CNN", "path: MNIST", "line 6: model.net: there is no class 'MNIST' for it; there are AlexNet, CNN"),
    ("ClassificationTask", "ClasificationTask", "line 3: model: there is no class 'ClasificationTask' for it; did you"),
    ("ClassificationTask", "mine.Task", "line 3: model: mine.Task cannot be imported: there is no module 'mine'"),
    (
        "{class_path: torch.optim.Adam",
        "{classpath: torch.optim.Adam",
        "line 7: model.optimizer: unknown key 'classpath'",
    ),
    ("optim.Adam", "optim.Adamm", "line 7: model.optimizer: there is no class 'Adamm' for it; did you mean Adam?"),
    ("WarmupCosineLR", "WarmupCosine", "line 8: model.scheduler: there is no class 'WarmupCosine' for it; did you"),
    ("WarmupCosineLR", "StepLR", "line 8: model.scheduler.step_size: is required and was not given"),
    ("lr: 0.001", "lr: fast", "line 7: model.optimizer.lr: expected float, got 'fast'"),
    ("lr: 0.001", "lr: null", "model.optimizer.lr is null; leave it out for 0.001"),
    ("[2, 2]", "[2, two]", "line 6: model.net.channels: expected int, got 'two'"),
    (
        "hidden_sizes",
        "pooling: maxx, hidden_sizes",
        "model.net.pooling: expected one of max, avg, min, sum, subsample, strided",
    ),
    ("kernel_size: 3", "kernel_size: 40", "image_size 28 is too small for CNN"),
    ("hidden_sizes", "image_size: 8, hidden_sizes", "model.net.image_size is 8, but the images of FashionMNISTSample"),
    ("batch_size: 64", "batch_size: big", "line 10: data.batch_size: expected int, got 'big'"),
    ("batch_size: 64", "batch_size: 100000", "batch_size is 100000, but there are only 9000 images"),
    ("batch_size: 64", "batch_size: null", "data.batch_size is null; leave it out for 128"),
    ("batch_size: 64", "val_size: 20000", "val_size is 20000, but the training set has 10000 images"),
    ("seed_everything: 0", "seed_everything: zero", "line 1: seed_everything: expected one of bool, int, got 'zero'"),
    ("data:", "seed_everything: 1\ndata:", "c.yaml, line 10: 'seed_everything' stands twice; keep one of them"),
    ("channels: [2, 2]", "channels: [2], channels: [3]", "c.yaml, line 6: 'channels' stands twice; keep one of them"),
    ("trainer: {", "trainer: [", "c.yaml, line 2: not valid YAML"),
    ("trainer: {", "trainer:\n\t{", "c.yaml, line 3: not valid YAML"),
    ("trainer: {max_epochs: 1", "trainer: {max_epochs: !!python/name:os.system x", "c.yaml, line 2: not valid YAML"),
    ("lr: 0.001", "lr: -1", "c.yaml, line 7: model.optimizer.lr is -1"),
    ("lr: 0.001", "lr: .inf", "c.yaml, line 7: model.optimizer.lr is inf: give a finite number"),
    ("lr: 0.001", "lr: .nan", "c.yaml, line 7: model.optimizer.lr: '.nan' is no value to compute with"),
    ("dropout: 0.1", "dropout: 1.5", "c.yaml, line 6: model.net.dropout is 1.5: dropout probability has to be between"),
    ("channels: [2, 2]", "channels: [0]", "c.yaml, line 6: model.net.channels is [0]: "),  # refused when it computes
    ("channels: [2, 2]", "channels: [2, -2]", "c.yaml, line 6: model.net.channels is [2, -2]: "),
    ("kernel_size: 3", "kernel_size: 0", "c.yaml, line 6: model.net.kernel_size is 0"),
    ("label_smoothing: 0.1", "label_smoothing: 2", "c.yaml, line 9: model.label_smoothing is 2.0: give a share from 0"),
    ("batch_size: 64", "batch_size: 0", "c.yaml, line 10: data.batch_size is 0: give at least 1"),
    ("eval_batch_size: 100", "eval_batch_size: 0", "c.yaml, line 10: data.eval_batch_size is 0: give at least 1"),
    ("num_workers: 0", "num_workers: -1", "c.yaml, line 10: data.num_workers is -1: give at least 0"),
    ("size: 4", "size: -4", "c.yaml, line 11: data.augment.size is -4: "),
    ("seed_everything: 0", "seed_everything: -1", "c.yaml, line 1: seed_everything is -1: give a whole number from 0"),
    ("enable_progress_bar: false", "val_check_interval: 0", "c.yaml, line 2: trainer.val_check_interval is 0"),
]


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(("old", "new", "expected"), IN_FILES, ids=[new.strip()[:30] for _, new, _ in IN_FILES])
def test_in_a_file(cli: Cli, old: str, new: str, expected: str) -> None:
    assert old in CONFIG
    Path("c.yaml").write_text(CONFIG.replace(old, new, 1))
    assert_told(cli("fit", "--config", "c.yaml"), expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "c.yaml: empty"), (b"\x80\xff\x00", "c.yaml: not a text file"), (b"- a\n", "c.yaml: not a mapping")],
)
def test_no_configuration_at_all(cli: Cli, content: bytes, expected: str) -> None:
    Path("c.yaml").write_bytes(content)
    assert_told(cli("fit", "--config", "c.yaml"), expected)


def test_two_wrong_arguments_are_both_named(cli: Cli) -> None:
    Path("c.yaml").write_text(
        CONFIG.replace("dropout: 0.1", "dropout: 3").replace("channels: [2, 2]", "channels: [-2]")
    )
    ended = cli("fit", "--config", "c.yaml")
    assert_told(ended, "c.yaml, line 6: model.net: CNN cannot be built with channels=[-2]")
    assert "dropout=3" in ended.err
