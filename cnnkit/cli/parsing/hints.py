"""Finds where a key stands, and the known name that is closest to a mistyped one."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module

import torch

from cnnkit.cli.parsing.classes import list_parameters
from cnnkit.config_files.yaml_files import YamlFile

# The keys below which a mistyped argument may belong, and the classes that they hold.
OWNERS = {
    "trainer": "lightning.Trainer",
    "data": "cnnkit.data.ImageDataModule",
    "model": "cnnkit.tasks.ClassificationTask",
    "model.net": "cnnkit.models.CNN",
    "model.optimizer": "torch.optim.Adam",
}
ELSEWHERE = {  # the name in other programs -> the key here
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "lr_scheduler": "model.scheduler",
    "wd": "model.optimizer.weight_decay",
    "learning_rate": "model.optimizer.lr",
    "gpus": "trainer.devices",
    "seed": "seed_everything",
    "workers": "data.num_workers",
    "net": "model.net",
    "image": "images",
}
HOMES = {"net": "cnnkit.models", "data": "cnnkit.data", "model": "cnnkit.tasks", "augment": "cnnkit.transforms"}


class Origin:
    """Where the values of a configuration come from: a line of a file, or the command line.

    Args:
        files: configuration files; the last one wins.
        typed: the keys of the command line, such as ``model.net``.
        short: the option that was typed for a key, such as ``--tta``, where it is not the key itself.
    """

    def __init__(
        self, files: Sequence[YamlFile] = (), typed: Iterable[str] = (), short: Mapping[str, str] | None = None
    ) -> None:
        self.files, self.short = files, short or {}
        self.typed = {".".join(_parts(key.rstrip("+"))) for key in typed}

    def where(self, key: str) -> str:
        """Return ``file, line n: `` of a dotted key; nothing if it was typed, or stands in no file."""
        parts = tuple(_parts(key))
        if ".".join(parts) in self.typed:
            return ""
        near_is_typed = any(".".join(parts[:end]) in self.typed for end in range(1, len(parts)))
        near_is_typed |= any(typed.startswith(".".join((*parts, ""))) for typed in self.typed)
        for whole in (True,) if near_is_typed else (True, False):
            for file in reversed(self.files):
                line = file.line_of(parts, whole=whole)
                if line is not None:
                    return f"{file.path}, line {line}: "
        return ""

    def locate(self, key: str) -> str:
        """Return a key as it was written, with the place where it is written before it, if there is one."""
        return f"{self.where(key)}{self.short.get(key, key)}"

    def has(self, key: str) -> bool:
        """Whether the key itself was typed, or stands in a file."""
        parts = tuple(_parts(key))
        return ".".join(parts) in self.typed or any(file.line_of(parts, whole=True) for file in self.files)


def _parts(key: str) -> list[str]:
    return [part for part in key.split(".") if part != "init_args"]


def suggest_key(word: str, *, exact: bool = False) -> str:
    """Suggest the whole key of an argument that was written in the wrong place.

    Args:
        word: the wrong key.
        exact: suggest only a key of the same name, or of the name that other programs use.
    """
    last = word.rsplit(".", 1)[-1]
    if ELSEWHERE.get(last, word) != word:  # it is not the key itself
        return f"; did you mean --{ELSEWHERE[last]}?"
    place = word.rpartition(".")[0]  # the caller has compared its arguments already
    keys = {f"{key}.{name}": name for key, owner in OWNERS.items() if key != place for name in list_parameters(owner)}
    found = [key for key, name in keys.items() if name == last]
    if not found and not exact:
        found = [k for n in difflib.get_close_matches(last, keys.values(), 1, 0.7) for k in keys if keys[k] == n]
    return f"; did you mean --{found[0]}?" if found else ""


def list_class_names(key: str) -> list[str]:
    """List the short names of the classes that a key takes."""
    if key in HOMES:
        names = import_module(HOMES[key]).__all__
        return [n for n in names if n[0].isupper() and n not in ("Batch", "Batches", "ImageDataModule", "Shape")]
    if key == "callbacks":
        return ["EMA", "Whitening", *import_module("lightning.pytorch.callbacks").__all__]
    if key == "logger":
        return list(import_module("lightning.pytorch.loggers").__all__)
    if key == "scheduler":
        return ["WarmupCosineLR", "TriangleLR", *_list_public(torch.optim.lr_scheduler)]
    return _list_public(torch.optim) if key == "optimizer" else []


def _list_public(module: object) -> list[str]:
    bases = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, bases)]
    return [kind.__name__ for kind in classes if kind not in bases and not kind.__name__.startswith("_")]
