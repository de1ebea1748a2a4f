"""Every key of `fit` with wrong values of every kind: taken, or one to three lines that name it; never a traceback."""

import contextlib
import inspect
import io
from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import pytest
from photo_folders import lay

import cnnkit
import cnnkit.data
import cnnkit.models
import cnnkit.optim
from cnnkit.cli.parsing.build import build_from_config
from cnnkit.cli.parsing.classes import list_parameters
from cnnkit.errors import UserError

WRONG = [
    "abc",
    "null",
    "-1",
    "0",
    "1e30",
    "99999999999",
    "''",
    "[1,2]",
    "{a: 1}",
    "true",
    ".nan",
    ".inf",
    "-.inf",
    "0123",
    "1.5",
]
NETS = [name for name in cnnkit.models.__all__ if isinstance(getattr(cnnkit.models, name), type) and name[0].isupper()]
DATA = ["FashionMNISTSample", "FashionMNIST", "MNIST", "CIFAR10", "ImageFolder"]
TASKS = ["ClassificationTask", "AuxiliaryLossTask", "TransferTask"]
OPTIMIZERS = ["SGD", "AdamW"]
LINKED = ("net", "in_channels", "num_classes", "image_size", "image_mean", "image_std", "params")


def keys() -> Iterator[tuple[str, list[str]]]:
    """Each key with the words that choose its class."""
    for name in inspect.signature(L.Trainer).parameters:
        yield f"trainer.{name}", []
    for top in ("name", "seed_everything", "watch", "monitor", "mode", "weights"):
        yield top, []
    groups: list[tuple[str, list[str], Callable[[str], str]]] = [
        ("data", DATA, lambda name: f"cnnkit.data.{name}"),
        ("model", TASKS, lambda name: f"cnnkit.tasks.{name}"),
        ("model.net", NETS, lambda name: f"cnnkit.models.{name}"),
        ("model.optimizer", OPTIMIZERS, lambda name: f"torch.optim.{name}"),
        ("model.scheduler", ["WarmupCosineLR", "TriangleLR"], lambda name: f"cnnkit.optim.{name}"),
    ]
    for above, names, path in groups:
        for name in names:
            for argument in list_parameters(path(name)):
                if argument not in LINKED or (above == "data" and argument == "image_size"):
                    root = ["--data.root=photos"] if name == "ImageFolder" and argument != "root" else []
                    heads = ["--model.after=[features]"] if name == "AuxiliaryLossTask" and argument != "after" else []
                    yield f"{above}.{argument}", [f"--{above}={name}", *heads, *root]


KEYS = sorted({(key, tuple(words)) for key, words in keys()})


def complaint(key: str, words: tuple[str, ...], value: str) -> str:
    """What is wrong with how a value is taken or refused; nothing if all is well."""
    given = [*words, f"--{key}={value}"]
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            build_from_config(given)
    except UserError as error:
        text = str(error)
        raw = next(
            (
                sign
                for sign in ("Traceback", "jsonargparse", "<class", "typing.", "Namespace(", "NestedArg")
                if sign in text
            ),
            "",
        )
        last = key.rpartition(".")[2]
        names_it = last in text or text.startswith(value)  # a path that is told to be none
        if raw or len(text.splitlines()) > 3 or len(text) > 600 or not names_it:
            return f"{' '.join(given)}: {text}"
    except Exception as error:
        return f"{' '.join(given)}: {type(error).__name__}: {error}"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("group", sorted({key.rpartition(".")[0] or "top" for key, _ in KEYS}))
def test_every_wrong_value_of_every_key_is_taken_or_refused_in_plain_words(
    group: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay([f"photos/{name}/{i}.png" for name in ("red", "blue") for i in range(6)])
    complaints = [
        said
        for key, words in KEYS
        if (key.rpartition(".")[0] or "top") == group
        for value in WRONG
        if (said := complaint(key, words, value))
    ]
    assert complaints == []
