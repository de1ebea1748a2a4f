"""Checks of the training: rates, monitors, losses, precision, workers."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from cnnkit.callbacks.logged import describe_missing_metric, find_logged_metrics
from cnnkit.cli.commands.check.subject import Finding, Subject
from cnnkit.cli.fit.trainer_values import choose_monitor
from cnnkit.errors import UserError
from cnnkit.optim.factories import plain_factory, read_name
from cnnkit.precision import describe_slow_precision
from cnnkit.tasks import TransferTask
from cnnkit.threads import count_usable_cores
from cnnkit.transforms import Mix

_TOO_LOW, _TOO_HIGH = 2e-5, 1e-2  # rates of a head on a frozen net, and of a pretrained backbone
_SMOOTHING = 0.3


def check_monitors(subject: Subject) -> Iterator[Finding]:
    """A monitor that nobody logs."""
    monitors = {"monitor": subject.config["monitor"]}
    monitors |= {
        f"trainer.callbacks: monitor of {type(callback).__name__}": callback.monitor
        for callback in subject.callbacks
        if isinstance(getattr(callback, "monitor", None), str)
    }
    if any("Plateau" in read_name(plain_factory(schedule)) for _, schedule in subject.schedules()):
        monitors["model.monitor"] = subject.task.monitor
    validated = subject.arguments.get("limit_val_batches") != 0
    trainer: Any = SimpleNamespace(
        callbacks=subject.callbacks,
        datamodule=subject.data,
        enable_validation=validated,
        overfit_batches=subject.arguments.get("overfit_batches", 0),
    )
    known = find_logged_metrics(trainer, subject.task)
    for key, name in monitors.items():
        if key == "monitor":
            try:
                name = choose_monitor(name, subject.trainer, subject.data)
            except UserError as error:
                yield Finding(
                    key, str(error).partition(": ")[0].removeprefix("monitor "), str(error).partition(": ")[2]
                )
                continue
        if name is None or known is None or name in known or name.startswith(("lr-", "epoch", "step")):
            continue
        reason = describe_missing_metric("", name, known).removeprefix(": ")
        yield Finding(key, reason.partition("; ")[0], reason.partition("; ")[2])


def check_frozen_rate(subject: Subject) -> Iterator[Finding]:
    """A head on a frozen net at a rate that is meant for fine-tuning."""
    frozen = isinstance(subject.task, TransferTask) and subject.task.mode in ("frozen", "embeddings")
    if frozen and subject.rate is not None and 0 < subject.rate <= _TOO_LOW:
        yield Finding(
            "model.optimizer.lr",
            f"is {subject.rate:g}, but only a new head trains, which moves by little at such a rate",
            "give 1e-3 for Adam, 1e-1 for SGD; cnnkit find-lr measures it",
        )


def check_backbone_rate(subject: Subject) -> Iterator[Finding]:
    """A pretrained backbone at a rate that makes it forget."""
    if subject.rate is None:
        return
    task, key = subject.task, "model.optimizer.lr"
    if isinstance(task, TransferTask):
        rate = subject.rate * task.backbone_lr_ratio if task.mode in ("finetune", "gradual") else 0.0
        key = "model.optimizer.lr, model.backbone_lr_ratio"
    else:
        rate = subject.rate if list_weights(subject) else 0.0
    if rate >= _TOO_HIGH:
        yield Finding(
            key,
            f"a rate of {rate:g} for pretrained layers overwrites what they have learned",
            "give 1e-5 to 1e-3, or train from scratch",
        )


def list_weights(subject: Subject) -> list[object]:
    """The weights from which the net starts: files, runs, names; true for those of the net itself."""
    init = subject.config["model"].get("init_args", {})
    net = init.get("net")
    arguments = net.get("init_args", {}) if isinstance(net, dict) else {}
    named = (subject.config.get("weights"), init.get("weights"), arguments.get("weights"), arguments.get("pretrained"))
    return [name for name in named if name]


def check_smoothing(subject: Subject) -> Iterator[Finding]:
    """Labels that are mixed and smoothed so much that little of them is left."""
    smoothing = getattr(subject.task, "label_smoothing", 0.0)
    mixes = [type(each).__name__ for each in subject.transforms if isinstance(each, Mix)]
    if smoothing > _SMOOTHING and mixes:
        yield Finding(
            "model.label_smoothing",
            f"is {smoothing:g} beside {mixes[0]}: both take the label's weight away",
            "give 0.1 or less, or leave one of them out",
        )


def check_precision(subject: Subject) -> Iterator[Finding]:
    """A precision in which the device computes very slowly."""
    precision, accelerator = str(subject.arguments.get("precision")), subject.arguments.get("accelerator", "auto")
    for note in describe_slow_precision(precision, accelerator):
        reason, _, remedy = note.partition(": ")[2].partition("; ")
        yield Finding("trainer.precision", f"is {precision}: {reason}", remedy)


def check_workers(subject: Subject) -> Iterator[Finding]:
    """More processes than cores to gather batches."""
    workers, cores = subject.data.num_workers, count_usable_cores()
    if workers > cores:
        yield Finding(
            "data.num_workers",
            f"is {workers}, and there are {cores} cores: they take time from each other and from the training",
            f"give at most {max(cores - 1, 0)}, or 0 for images in memory",
        )
