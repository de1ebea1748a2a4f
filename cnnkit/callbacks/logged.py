"""The metrics that a run will log, found before it logs them: by a trial of the task's metrics."""

import copy
import inspect
import warnings
from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback, LearningRateMonitor

from cnnkit.metrics import ClassScores
from cnnkit.suggest import closest

# What a user's task may override without logging anything itself.
_SILENT = {"build_metrics", "parameter_groups", "configure_optimizers", "forward"}


def find_logged_metrics(trainer: L.Trainer, module: L.LightningModule) -> set[str] | None:
    """Find the names of all metrics to monitor, such as ``val/acc``; None if they cannot be known.

    They are known for cnnkit's tasks, and for subclasses that override nothing which could log, without foreign
    callbacks. Call it at the start of training: then the loaders are set up, and the learning rates have names.
    """
    own = find_task_metrics(trainer, module)
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    if own is None or any(_is_foreign(callback) for callback in callbacks):
        return None
    found = {f"{stage}/{name}" for stage in ("train", "val") for name in own}
    found |= {f"val/{name}" for name in ClassScores.NAMES}
    found |= {name for logs in (module, *callbacks) for name in getattr(logs, "logs", ())}
    for monitor in (c for c in callbacks if isinstance(c, LearningRateMonitor)):
        found |= monitor.lrs.keys()
        found |= {f"{name}-momentum" for name in monitor.lrs if monitor.log_momentum}
        found |= {f"{name}-weight_decay" for name in monitor.lrs if monitor.log_weight_decay}
    return {name for name in found if _validates(trainer) or not name.startswith("val/")}


def find_task_metrics(trainer: L.Trainer, module: L.LightningModule) -> list[str] | None:
    """Find the names, without the stage, of the scalars that a task logs in every stage; None if they are unknown."""
    scores = getattr(module, "scores", None)
    classes = [int(n) for of in (trainer, module) if (n := _num_classes(of)) is not None]
    if not classes or not isinstance(scores, torch.nn.ModuleDict) or "val_scores" not in scores:
        return None
    if any(_could_log(each) for each in type(module).__mro__):
        return None
    of_validation: Any = scores["val_scores"]
    metrics = copy.deepcopy(of_validation["metrics"])
    device = module.device
    logits = torch.eye(classes[0], device=device)
    labels = logits.long() if getattr(module, "multilabel", False) else torch.arange(classes[0], device=device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = metrics(logits, labels)  # compute() would wait for the other ranks
    except Exception:  # a metric with other inputs; only the first validation shows what it logs
        return None
    return ["loss", *(name for name, value in found.items() if torch.is_tensor(value) and value.ndim == 0)]


def higher_is_better(module: L.LightningModule, name: str) -> bool | None:
    """The attribute of a task's own metric, such as ``val/f1``; None if it has none."""
    scores: Any = getattr(module, "scores", None)
    if not isinstance(scores, torch.nn.ModuleDict) or "val_scores" not in scores:
        return None
    of_validation: Any = scores["val_scores"]
    metrics = dict(of_validation["metrics"].items(keep_base=False, copy_state=False))
    says = getattr(metrics.get(name.removeprefix("val/")), "higher_is_better", None)
    return says if isinstance(says, bool) else None


def describe_missing_metric(key: str, name: str | None, names: Iterable[str]) -> str:
    """The error message for a metric that nothing logs.

    Args:
        key: the setting that names the metric.
        names: of the metrics that are logged.
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
    """Whether a user's class has a method that could log."""
    if _package(each) in ("cnnkit", "lightning", "torch", "builtins", "abc", "typing"):
        return False
    methods = {name for name, value in vars(each).items() if inspect.isfunction(value)}
    return any(not name.startswith("__") for name in methods - _SILENT)


def _validates(trainer: L.Trainer) -> bool:
    """Whether there are images to validate on; their loader may not be set up yet."""
    data: Any = getattr(trainer, "datamodule", None)
    has_images = bool(getattr(trainer, "overfit_batches", 0)) or getattr(data, "val_size", 1) != 0
    return trainer.enable_validation and has_images


def _is_foreign(callback: Any) -> bool:
    """Whether it is unknown what a callback logs; a LambdaCallback logs what its functions log."""
    return _package(type(callback)) not in ("cnnkit", "lightning") or isinstance(callback, LambdaCallback)


def _package(each: type) -> str:
    return each.__module__.partition(".")[0]
