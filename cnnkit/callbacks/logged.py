"""What a task will log, found out before it does: by a trial of its metrics, where nothing else can log."""

import copy
import inspect
import warnings
from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback, LearningRateMonitor

from cnnkit.suggest import closest

# What a user's task may override without logging anything itself.
_SILENT = {"build_metrics", "parameter_groups", "configure_optimizers", "forward"}


def find_logged_metrics(trainer: L.Trainer, module: L.LightningModule) -> set[str] | None:
    """Names of all that will be there to monitor, such as ``val/acc``; None if that cannot be known.

    It can for cnnkit's tasks and for subclasses that override nothing which could log, without callbacks of others.
    To be asked at the start of training, when the loaders are set up and Lightning has named the learning rates.

    Args:
        trainer: with its callbacks.
        module: the task.
    """
    own = find_task_metrics(trainer, module)
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    if own is None or any(_is_of_others(callback) for callback in callbacks):
        return None
    found = {f"{stage}/{name}" for stage in ("train", "val") for name in own}
    found |= {name for logs in (module, *callbacks) for name in getattr(logs, "logs", ())}
    for monitor in (c for c in callbacks if isinstance(c, LearningRateMonitor)):
        found |= monitor.lrs.keys()
        found |= {f"{name}-momentum" for name in monitor.lrs if monitor.log_momentum}
        found |= {f"{name}-weight_decay" for name in monitor.lrs if monitor.log_weight_decay}
    return {name for name in found if _validates(trainer) or not name.startswith("val/")}


def find_task_metrics(trainer: L.Trainer, module: L.LightningModule) -> list[str] | None:
    """Names, without the stage, of the scalars that a task logs of every stage; None if that cannot be known."""
    scores = getattr(module, "scores", None)
    classes = [int(n) for of in (trainer, module) if (n := _num_classes(of)) is not None]
    if not classes or not isinstance(scores, torch.nn.ModuleDict) or "val_scores" not in scores:
        return None
    if any(_could_log(each) for each in type(module).__mro__):
        return None
    of_validation: Any = scores["val_scores"]
    metrics = copy.deepcopy(of_validation["metrics"])
    device = module.device
    labels = torch.arange(classes[0], device=device)
    logits = torch.eye(classes[0], device=device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = metrics(logits, labels)  # compute() would wait for other ranks, which may not ask
    except Exception:  # a metric with other needs; then only the first validation can tell
        return None
    return ["loss", *(name for name, value in found.items() if torch.is_tensor(value) and value.ndim == 0)]


def higher_is_better(module: L.LightningModule, name: str) -> bool | None:
    """What a task's own metric says of itself, None if it is none or says nothing.

    Args:
        module: the task.
        name: such as ``val/f1``.
    """
    scores: Any = getattr(module, "scores", None)
    if not isinstance(scores, torch.nn.ModuleDict) or "val_scores" not in scores:
        return None
    of_validation: Any = scores["val_scores"]
    metrics = dict(of_validation["metrics"].items(keep_base=False, copy_state=False))
    says = getattr(metrics.get(name.removeprefix("val/")), "higher_is_better", None)
    return says if isinstance(says, bool) else None


def describe_missing_metric(key: str, name: str | None, names: Iterable[str]) -> str:
    """The error of a score that is not there.

    Args:
        key: who asks for it.
        name: of the score.
        names: of those that there are.
    """
    of_epochs = sorted((n for n in names if not n.endswith("_step")), key=lambda n: (not n.startswith("val/"), n))
    close = closest(str(name), of_epochs, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{key}: nothing is logged as {name!r}; {hint}there are {', '.join(of_epochs) or 'none'}"


def _num_classes(of: Any) -> int | None:
    holder = getattr(of, "datamodule", None) if isinstance(of, L.Trainer) else getattr(of, "net", None)
    number = getattr(holder, "num_classes", None)
    return number if isinstance(number, int) and number > 1 else None


def _could_log(each: type) -> bool:
    """Whether a class between the user's task and cnnkit's has a method that could log."""
    if _package(each) in ("cnnkit", "lightning", "torch", "builtins", "abc", "typing"):
        return False
    methods = {name for name, value in vars(each).items() if inspect.isfunction(value)}
    return any(not name.startswith("__") for name in methods - _SILENT)


def _validates(trainer: L.Trainer) -> bool:
    """Whether there are images to validate on; their loader may not be set up yet."""
    data: Any = getattr(trainer, "datamodule", None)
    has_images = bool(getattr(trainer, "overfit_batches", 0)) or getattr(data, "val_size", 1) != 0
    return trainer.enable_validation and has_images


def _is_of_others(callback: Any) -> bool:
    """Whether nobody here knows what a callback logs; a LambdaCallback does what its functions do."""
    return _package(type(callback)) not in ("cnnkit", "lightning") or isinstance(callback, LambdaCallback)


def _package(each: type) -> str:
    return each.__module__.partition(".")[0]
