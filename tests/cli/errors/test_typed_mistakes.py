"""Every mistake on the command line: exit code 2, one to three lines that name the key, the reason and what to do."""

import re
from pathlib import Path

import pytest
from mistakes import CONFIG, assert_told
from small_runs import Cli

TYPED = [
    ("--trainer.max_epoch 3", "trainer.max_epoch: the trainer has no such argument; did you mean max_epochs?"),
    ("--model.net.kernel 3", "model.net.kernel: CNN has no such argument; did you mean kernel_size?"),
    ("--lr 3", "lr: unknown key; did you mean --model.optimizer.lr?"),
    ("--model.lr 3", "model.lr: ClassificationTask has no such argument; did you mean --model.optimizer.lr?"),
    ("--epochs 3", "epochs: unknown key; did you mean --trainer.max_epochs?"),
    ("--batch_size 3", "batch_size: unknown key; did you mean --data.batch_size?"),
    ("--data.batchsize 3", "error: data.batchsize: FashionMNISTSample has no such argument; did you mean batch_size?"),
    ("--data.batch_size", "--data.batch_size: needs a value after it"),
    ("--data.batch_size big", "error: data.batch_size: expected int, got 'big'"),
    ("--config", "--config: nothing is named after it"),
    ("c.yaml", "c.yaml: this word belongs to no --key; did you mean --config c.yaml?"),
    ("quickstart", "quickstart: this word belongs to no --key; did you mean --config quickstart?"),
    ("hello", "hello: this word belongs to no --key"),
    ("--trainer.max_epochs 3 4", "4: this word belongs to no --key; keys are given as --key value, and a list"),
    ("--trainer.max_epochs=", "--trainer.max_epochs: needs a value after it, and has an empty one"),
    ("-c", "-c: nothing is named after it; give a file"),
    ("--config c.yaml c.yaml", "c.yaml: this word belongs to no --key; did you mean --config c.yaml?"),
    ("my card.yaml", "my: no such file; a name with spaces needs quotes: --config 'my card.yaml'"),
    ("-c my card.yaml", "my: no such file; a name with spaces needs quotes: --config 'my card.yaml'"),
    ("--model.init_args.net.init_args.dropot 1", "model.net.dropot: CNN has no such argument; did you mean dropout?"),
    (
        "--model.class_weights balance",
        "model.class_weights: expected one of balanced, list, got 'balance'; did you mean balanced?",
    ),
    ("--model.net.channels 64", "model.net.channels: expected tuple, got '64'; write [64]"),
    ("--data.batch_size 0123", "data.batch_size: '0123' begins with a zero, which makes it octal for some; write 123"),
    ("--data.batch_size 32.5", "data.batch_size: expected int, got '32.5'"),
    ("--data.batch_size [64]", "data.batch_size: expected int, got [64]"),
    ("--trainer 3", "trainer is 3: it is a group of keys"),
    ("--data 3", "data: 3 is no name of a class; there are CIFAR10"),
    ("--model.optimizer torch.optim.SGD,lr=1", "model.optimizer: there is no class 'torch.optim.SGD,lr=1' for it"),
    (
        "--data.augment [{class_path:",
        "data.augment: '[{class_path:' is no whole list or mapping; one with spaces needs",
    ),
    ("--model.optimizer null", "model.optimizer is null; leave it out for Adam"),
    ("--config d.yaml", "d.yaml: no such configuration file; did you mean c.yaml?"),
    ("--config .", ".: a folder, where a file is needed"),
    ("--model resnet18", "model: there is no class 'resnet18' for it; there are"),
    ("--model resnet18", "; a net goes to model.net"),
    ("--data CIFAR100", "data: there is no class 'CIFAR100' for it; did you mean CIFAR10?"),
    ("--model.net.num_classes 5", "model.net.num_classes is 5, but the images of FashionMNISTSample have 10; leave it"),
    ("--model.net.image_size=8", "model.net.image_size is 8, but the images of FashionMNISTSample have 28; leave it"),
    ("--data.augment [RandomCrp]", "data.augment: there is no class 'RandomCrp' for it; did you mean RandomCrop?"),
    (
        "--data.augment RandomCrop",
        "data.augment: expected one of list, light, medium, strong, got 'RandomCrop'; write [RandomCrop]",
    ),
    (
        "--data.augment mediun",
        "data.augment is mediun: it takes a list of transforms, or a preset; did you mean medium?",
    ),
    (
        "--trainer.callbacks EarlyStoping",
        "trainer.callbacks: there is no class 'EarlyStoping' for it; did you mean Early",
    ),
    (
        "--model.net timm.layers.Mlp --model.net.channels [4]",
        "model.net.channels: Mlp has no such argument; did you mean --model.c",
    ),
    ("--model.scheduler StepLR --model.scheduler.step_size -1", "model.scheduler.step_size is -1: StepLR counts"),
    ("--model.scheduler StepLR --model.scheduler.step_size 0", "model.scheduler.step_size is 0, which StepLR refuses"),
    ("--model.scheduler ExponentialLR --model.scheduler.gamma -0.5", "model.scheduler.gamma is -0.5: ExponentialLR"),
    ("--model.scheduler MultiStepLR --model.scheduler.milestones [2,-1]", "model.scheduler.milestones is [2, -1]: "),
    ("--model.scheduler cosine", "there is no class 'cosine' for it; did you mean WarmupCosineLR?"),
    ("--model.scheduler annealing", "did you mean CosineAnnealing"),
    ("--model.scheduler false", "model.scheduler: False is no name of a class"),
    ("--trainer.limit_val_batches 0.0001", "trainer.limit_val_batches is 0.0001, less than one batch; give a whole"),
    ("--trainer.max_time 5", "trainer.max_time is 5: give DD:HH:MM:SS, such as 00:00:05:00"),
    ("--trainer.gradient_clip_algorithm norm", "gradient_clip_algorithm is norm, but nothing is clipped: give trainer"),
    ("--trainer.min_epochs 5 --trainer.max_epochs 2", "trainer.min_epochs is 5, above trainer.max_epochs, 2"),
    ("--seed_everything true", "seed_everything is true: give a whole number from 0"),
    ("--seed_everything null", "seed_everything is null: give a whole number from 0"),
    ("--model null", "model is null; leave it out for ClassificationTask"),
    (
        "--model.optimizer TimmOptimizer --model.optimizer.name sgd --model.optimizer.nesterov true",
        "TimmOptimizer has no such argument; there are arguments, lr, momentum, name, weight_decay",
    ),
    (
        "--trainer.callbacks EarlyStopping",
        "required and was not given; add --trainer.callbacks.monitor VALUE",
    ),
    (
        "--trainer.callbacks EarlyStopping --trainer.callbacks.monitor val/los",
        "logged as 'val/los'; did you mean val/loss",
    ),
    (
        "--model.scheduler ReduceLROnPlateau --model.monitor val/los",
        "logged as 'val/los'; did you mean val/loss",
    ),
    ("--trainer.accelerator gpuu", "trainer.accelerator: there is no 'gpuu'; did you mean gpu?"),
    ("--trainer.strategy ddpp", "trainer.strategy: there is no 'ddpp'; did you mean ddp?"),
    ("--trainer.devices many", "trainer.devices: give the number of devices"),
    (
        "--trainer.callbacks+=Whitenin",
        "trainer.callbacks: there is no class 'Whitenin' for it; did you mean Whitening?",
    ),
    ("--trainer.callbacks CNN", "trainer.callbacks: there is no class 'CNN' for it; there are EMA, Whitening, "),
    ("--trainer.callbacks.decay 1", "trainer.callbacks.decay: Callback has no such argument; name a class first, such"),
    ("--trainer.callbacks.EMAA 1", "Callback has no such argument; did you mean --trainer.callbacks=EMA?"),
    ("--trainer.logger.CSVLoger 1", "Logger has no such argument; did you mean --trainer.logger=CSVLogger?"),
    (
        "--config cifar10_speed94 --data.augment.2.init_args.epochs 1",
        "error: data.augment.2: items of a list have no numbers; --data.augment.KEY VALUE changes the last one",
    ),
    ("--config cifar10_speed94 --model.net.foo.bar 1", "error: model.net.foo: SpeedNet has no such argument"),
    ("--trainer.logger csv", "trainer.logger: there is no class 'csv' for it; did you mean CSVLogger?"),
    ("--trainer.devices 0", "trainer.devices: give the number of devices"),
    ("--trainer.limit_train_batches 0", "trainer.limit_train_batches is 0: there is no step to train"),
    ("--name ../up", "name is '../up': use at most 64 letters"),
    ("--trainer.default_root_dir c.yaml", "c.yaml/c: cannot make the run folder"),
    ("--trainer.default_root_dir /proc/x", "set trainer.default_root_dir to a folder you can write to"),
    ("--resume nothing", "nothing: no such run folder; `cnnkit runs` lists those there are"),
    ("--resume empty", "empty: not a run folder (it has no config.yaml)"),
    ("--run runs", "--run is not for fit: use --resume"),
    ("--optimizer.lr 0.1", "optimizer: unknown key; did you mean --model.optimizer.lr?"),
    ("--trainer.callbacks.help", "--trainer.callbacks.help: needs a class after it, such as EMA"),
    ("--data.help", "--data.help: needs a class after it; there are CIFAR10"),
    ("--model.net.dropout -1", "error: model.net.dropout is -1: dropout probability"),
    ("--trainer.callbacks+=EMA --trainer.callbacks.decay 2", "error: trainer.callbacks.decay is 2.0: give a share"),
    ("--trainer.callbacks [EMA,EarlyStoping]", "trainer.callbacks: there is no class 'EarlyStoping' for it; did you"),
    ("--trainer.callbacks [EMA,EMA]", "trainer.callbacks: EMA stands twice, and a checkpoint has room"),
    ("--trainer.accelerator cpu --trainer.strategy fsdp", "trainer.strategy is fsdp, which needs GPUs; leave it out"),
    ("--model own.Own --model.limit 11", "error: model.limit is 11: a limit is at most 10"),
]
OWN = """\
from cnnkit import ClassificationTask
class Own(ClassificationTask):
    def __init__(self, limit=1, **kwargs):
        super().__init__(**kwargs)
        if limit > 10:
            raise ValueError('a limit is at most 10')
        [][limit:].index(0) if limit == 2 else {1: 1, 3: 3}[limit]
    def compute_loss(self, batch):
        raise ValueError('a bug in the loss')
"""


@pytest.mark.parametrize(("words", "expected"), TYPED, ids=[words for words, _ in TYPED])
def test_typed(cli: Cli, words: str, expected: str) -> None:
    Path("c.yaml").write_text(CONFIG)
    Path("my card.yaml").write_text(CONFIG)
    Path("own.py").write_text(OWN)
    Path("empty").mkdir()
    assert_told(cli("fit", "--config", "c.yaml", *words.split()), expected)


@pytest.mark.parametrize(("group", "argument"), [("trainer", "--trainer.max_epochs"), ("watch", "--watch.norms")])
def test_the_help_of_a_group_of_keys_lists_its_arguments(cli: Cli, group: str, argument: str) -> None:
    ended = cli("fit", f"--{group}.help")
    assert ended.code == 0
    assert argument in ended.out


def test_a_gpu_where_there_is_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for name in ("gpu", "cuda"):
        assert_told(cli("fit", "--trainer.accelerator", name), "a device that this machine does not have; leave it out")


def test_a_mistyped_class_of_an_own_module_suggests_those_of_the_module(cli: Cli) -> None:
    Path("own_net.py").write_text("from torch import nn\n\n\nclass SmallNet(nn.Module):\n    pass\n")
    ended = cli("fit", "--model.net", "own_net.SmalNet")
    assert ended.err.endswith("model.net: own_net has no class 'SmalNet' for it; did you mean SmallNet?\n")


def test_an_unknown_command(cli: Cli) -> None:
    assert_told(cli("fitt", "--help"), "unknown command 'fitt'; did you mean fit?")
    assert_told(cli("xyz"), "the commands are fit, test, validate, predict")


def test_other_commands(cli: Cli) -> None:
    assert_told(cli("test", "--run", "nothing"), "nothing: no such run folder")
    Path("runs/here").mkdir(parents=True)
    ended = cli("test", "here")
    assert (ended.code, ended.err) == (2, "error: here: this word belongs to no --key; did you mean --run here?\n")
    Path("runs/here").rmdir()
    Path("runs").rmdir()
    assert_told(cli("test", "--resume", "nothing"), "--resume is not for test: use --run")
    assert_told(cli("test", "--ckpt_path", "no.ckpt"), "no.ckpt: no such checkpoint")
    assert_told(cli("test", "--ckpt_path", "https://a.b/c.ckpt"), "checkpoints are read from local files only")


def test_debug_shows_the_traceback_as_well(cli: Cli) -> None:
    ended = cli("fit", "--debug", "--data.val_size", "20000")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "UserError" in ended.err


@pytest.mark.parametrize("name", ["own_nets_file", "own_nets_file.py"])
def test_a_file_in_place_of_a_class_is_told_so(cli: Cli, name: str) -> None:
    Path("own_nets_file.py").write_text("from cnnkit import CNN as MyNet\n")
    ended = cli("fit", f"--model.net={name}")
    assert ended.code == 2
    assert ended.err == f"error: model.net: {name} is a file; name a class in it, such as own_nets_file.MyNet\n"


def test_what_is_wrong_with_the_code_is_no_mistake_of_the_configuration(cli: Cli) -> None:
    Path("c.yaml").write_text(CONFIG)
    Path("own.py").write_text(OWN)
    for words, error in (
        (["--model.limit=5"], "KeyError: 5"),  # in the constructor
        (["--model.limit=3"], "ValueError: a bug in the loss"),  # before the first step, but not in a constructor
    ):
        ended = cli("fit", "--config", "c.yaml", "--model=own.Own", *words)
        assert ended.code == 1
        assert re.search(rf"own\.py, line \d+: {error}\n--debug shows the whole traceback\n$", ended.err)
    assert not Path("runs").exists()
