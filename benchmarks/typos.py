"""Mistyped keys, classes, files and commands: how many get the hint that is right. Nothing is built or trained.

The typos are made from the keys and classes that there are, with a fixed seed: a letter left out, doubled, replaced or
exchanged with its neighbor; an argument on the wrong level; what other programs call it.
"""

import contextlib
import inspect
import io
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch

import cnnkit.data
import cnnkit.models
import cnnkit.transforms
from benchmarks.common import ROOT, Table
from cnnkit.cli import main as cnnkit_main
from cnnkit.cli.dispatch import VIEW_COMMANDS
from cnnkit.cli.help import COMMANDS
from cnnkit.cli.parsing.build import build_from_config
from cnnkit.errors import UserError

ROUNDS = 1
COUNT = 253
SEED = 2026
LEVELS: dict[str, Callable[..., object]] = {
    "trainer": L.Trainer,
    "data": cnnkit.data.ImageDataModule,
    "model": cnnkit.ClassificationTask,
    "model.net": cnnkit.models.CNN,
    "model.optimizer": torch.optim.Adam,
}
CLASSES: dict[str, Sequence[str]] = {
    "model.net": [name for name in cnnkit.models.__all__ if name[0].isupper()],
    "data": ["MNIST", "FashionMNIST", "CIFAR10", "FashionMNISTSample", "ImageFolder"],
    "model.optimizer": ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"],
    "model.scheduler": ["WarmupCosineLR", "TriangleLR", "CosineAnnealingLR", "StepLR", "OneCycleLR"],
    "trainer.callbacks": ["EarlyStopping", "ModelCheckpoint", "LearningRateMonitor", "ModelSummary", "EMA"],
    "data.augment": ["RandomCrop", "RandomHorizontalFlip", "AlternatingFlip", "Cutout", "MixUp", "RandomErasing"],
}
# What is typed, and what was meant: on the wrong level, or as other programs call it.
MEANT = {
    **{"lr": "model.optimizer.lr", "model.lr": "model.optimizer.lr", "optimizer.lr": "model.optimizer.lr"},
    **{"batch_size": "data.batch_size", "model.batch_size": "data.batch_size", "trainer.batch_size": "data.batch_size"},
    **{"max_epochs": "trainer.max_epochs", "model.max_epochs": "trainer.max_epochs", "epochs": "trainer.max_epochs"},
    **{"trainer.epochs": "trainer.max_epochs", "learning_rate": "model.optimizer.lr", "gpus": "trainer.devices"},
    **{"seed": "seed_everything", "trainer.seed": "seed_everything", "workers": "data.num_workers"},
    **{"num_workers": "data.num_workers", "model.channels": "model.net.channels", "channels": "model.net.channels"},
    **{"dropout": "model.net.dropout", "model.dropout": "model.net.dropout", "net": "model.net"},
    **{"weight_decay": "model.optimizer.weight_decay", "model.learning_rate": "model.optimizer.lr"},
    **{"precision": "trainer.precision", "accelerator": "trainer.accelerator", "devices": "trainer.devices"},
    **{"label_smoothing": "model.label_smoothing", "val_size": "data.val_size", "scheduler": "model.scheduler"},
    **{"optimizer": "model.optimizer", "callbacks": "trainer.callbacks", "model.augment": "data.augment"},
}


class Typo(NamedTuple):
    """Something mistyped.

    Args:
        kind: of what.
        typed: the key, class, file or command.
        meant: the right one.
        key: what the class is for.
    """

    kind: str
    typed: str
    meant: str
    key: str = ""


def run(*, rounds: int, quick: bool) -> Iterator[Table]:
    """The share of right hints, by kind.

    Args:
        rounds: of no effect: the same typos get the same hints.
        quick: an eighth of them.
    """
    typos = make_typos(COUNT // 8 if quick else COUNT)
    missed: list[str] = []
    right: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(ROOT):  # the names of files are as from there
        for number, typo in enumerate(typos):
            hint = hint_for(typo, Path(folder) / "c.yaml" if number % 2 else None)
            good = is_right(hint, typo.meant)
            right.setdefault(typo.kind, []).append(good)
            missed += [] if good else [f"{typo.kind} {typo.typed} (meant {typo.meant}): {hint}"]
    shares = {f"{kind} ({len(of)})": [100 * sum(of) / len(of)] for kind, of in right.items()}
    total = [each for of in right.values() for each in of]
    share = {f"all ({len(total)})": [100 * sum(total) / len(total)]}
    yield Table("Typos that get the right hint", "%", {**shares, **share}, notes=missed)


def make_typos(count: int) -> list[Typo]:
    """The typos, the same ones every time."""
    dice = random.Random(SEED)
    keys = [f"{level}.{name}" for level, of in LEVELS.items() for name in inspect.signature(of).parameters]
    keys = [key for key in keys if key.rpartition(".")[2] not in ("params", "kwargs", "net")]
    places = [(key, name) for key, names in CLASSES.items() for name in names]
    tops = ["trainer", "model", "data", "seed_everything", "watch"]
    configs = sorted(file.name for file in (ROOT / "configs").glob("*.yaml"))
    typos = [Typo("other level or name", typed, meant) for typed, meant in MEANT.items()]
    while len(typos) < COUNT:
        draw = dice.random()
        if draw < 0.5:
            above, _, name = dice.choice(keys).rpartition(".")
            typo = Typo("key", f"{above}.{misspell(name, dice)}", f"{above}.{name}")
        elif draw < 0.8:
            key, name = dice.choice(places)
            typo = Typo("class", misspell(name, dice), name, key)
        elif draw < 0.87:
            top = dice.choice(tops)
            typo = Typo("top key", misspell(top, dice), top)
        elif draw < 0.94:
            name = dice.choice(configs)
            typo = Typo("file", f"configs/{misspell(name.removesuffix('.yaml'), dice)}.yaml", f"configs/{name}")
        else:
            name = dice.choice([*COMMANDS, *VIEW_COMMANDS])
            typo = Typo("command", misspell(name, dice), name)
        exists = {
            *keys,
            *tops,
            *COMMANDS,
            *VIEW_COMMANDS,
            *(name for _, name in places),
            *(f"configs/{name}" for name in configs),
        }
        if typo not in typos and typo.typed not in exists:
            typos.append(typo)
    return typos[:: COUNT // count]


def misspell(word: str, dice: random.Random) -> str:
    """A word with one slip of the hand, not in its first letter."""
    place = dice.randrange(1, max(2, len(word) - 1))
    letter = word[place : place + 1]
    slips = [
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place:],
        word[:place] + word[place + 1 : place + 2] + letter + word[place + 2 :],
        word[:place] + dice.choice("abcdefghijklmnopqrstuvwxyz") + word[place + 1 :],
    ]
    return dice.choice([slip for slip in slips if slip != word] or [word + word[-1]])


def hint_for(typo: Typo, file: Path | None) -> str:
    """What is said about it; keys and classes in a file, if one is given, else on the command line."""
    if typo.kind == "command":
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            cnnkit_main([typo.typed])
        return said.getvalue().strip()
    if typo.kind == "file":
        words = ["--config", typo.typed]
    else:
        key, value = (typo.key, typo.typed) if typo.kind == "class" else (typo.typed, "3")
        value = f"[{value}]" if key == "data.augment" else value
        words = [f"--{key}={value}"]
        if file is not None:
            file.write_text(_nested(key, value), encoding="utf-8")
            words = ["--config", str(file)]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            build_from_config(words)
    except UserError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def _nested(key: str, value: str) -> str:
    for part in reversed(key.split(".")):
        inside = (
            f"{{init_args: {value}}}" if part in ("model", "data", "net", "optimizer") and value[0] == "{" else value
        )
        value = f"{{{part}: {inside}}}"
    return value


def is_right(hint: str, meant: str) -> bool:
    """Whether a hint names what was meant: the argument's name, or its whole key."""
    named = re.search(r"did you mean (?:--config |--)?([\w./-]+?)\?", hint)
    return named is not None and (named[1] == meant or (named[1] == meant.rsplit(".", 1)[-1] and "/" not in meant))
