"""Checks the trainer's arguments before a run, and chooses its precision and monitor.

Refused is what Lightning would take, and then ignore or fail on in the middle of a run. Net and data decide on the
precision and the monitor, so that the configuration says what is used.
"""

import datetime
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.plugins import Precision
from lightning.pytorch.strategies import Strategy, StrategyRegistry

from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.errors import UserError
from cnnkit.metric_names import MONITOR, MULTILABEL_MONITOR
from cnnkit.notices import say
from cnnkit.precision import default_precision, resolve_device, resolve_precision
from cnnkit.suggest import suggest

# The least that makes sense. Lightning takes the others, and divides by zero, or trains without end, or not at all.
LEAST: dict[str, int] = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "fast_dev_run": 0,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "max_epochs": -1,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "num_nodes": 1,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
}
SHARES = (
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "limit_predict_batches",
    "overfit_batches",
    "val_check_interval",
)
_GPUS = ("cuda", "mps")
_COPIES = re.compile(r".*_(spawn|fork|notebook)")


def check_trainer(arguments: Mapping[str, Any]) -> None:
    """Refuse values of the trainer's arguments that would have no effect, or another one.

    Raises:
        UserError: naming the argument, its value and what to give instead.
    """
    for name, least in LEAST.items():
        value = arguments.get(name)
        if isinstance(value, (int, float)) and not value >= least:
            meaning = " (-1 is no limit)" if least == -1 else ""
            raise UserError(f"trainer.{name} is {value}: give a number of at least {least}{meaning}")
    for name in SHARES:
        value = arguments.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not 0 <= value < math.inf or (value > 1 and value != int(value)):
            raise UserError(f"trainer.{name} is {value}: give a share from 0.0 to 1.0, or a whole number of batches")
    if arguments.get("val_check_interval") == 0:
        raise UserError("trainer.val_check_interval is 0: for no validation at all give trainer.limit_val_batches=0")
    if arguments.get("model_registry") is not None:
        raise UserError(
            "trainer.model_registry is for a service of Lightning's; checkpoints here are files: leave it out"
        )
    _check_names(arguments)


def check_length(arguments: Mapping[str, Any]) -> None:
    """Refuse a fit that would have no step, or no named end.

    Raises:
        UserError: naming the argument.
    """
    for name in ("limit_train_batches", "max_epochs", "max_steps"):
        if arguments.get(name) == 0:
            raise UserError(f"trainer.{name} is 0: there is no step to train; give at least 1, or leave it out")
    time = arguments.get("max_time")
    if isinstance(time, (str, int, float)) and not re.fullmatch(r"\d+:\d+:\d+:\d+", str(time)):
        raise UserError(f"trainer.max_time is {time}: give DD:HH:MM:SS, such as 00:00:05:00 for five minutes")
    if _is_zero(time):
        raise UserError("trainer.max_time is 0: there is no step to train; give DD:HH:MM:SS, or leave it out")
    for least, most in (("min_epochs", "max_epochs"), ("min_steps", "max_steps")):
        few, many = arguments.get(least), arguments.get(most)
        if few and many is not None and 0 <= many < few:
            raise UserError(f"trainer.{least} is {few}, above trainer.{most}, {many}, which wins: give less, or more")
    if arguments.get("gradient_clip_algorithm") is not None and not arguments.get("gradient_clip_val"):
        raise UserError(
            f"trainer.gradient_clip_algorithm is {arguments['gradient_clip_algorithm']}, but nothing is clipped: give "
            "trainer.gradient_clip_val, too"
        )
    if arguments.get("max_epochs") is None and arguments.get("max_steps", -1) == -1 and time is None:
        raise UserError(
            "trainer.max_epochs is null, and neither trainer.max_steps nor trainer.max_time says when the run ends: "
            "give one of them (-1 epochs is a run without end)"
        )


def describe_ignored_limits(arguments: Mapping[str, Any]) -> list[str]:
    """Describe the limits that Lightning ignores beside ``overfit_batches``."""
    overfit = arguments.get("overfit_batches")
    limits = [name for name in ("limit_train_batches", "limit_val_batches") if arguments.get(name) is not None]
    if not overfit or not limits:
        return []
    named = " and ".join(f"trainer.{name} ({arguments[name]})" for name in limits)
    return [f"trainer.overfit_batches ({overfit}) takes the place of {named}"]


def _check_names(arguments: Mapping[str, Any]) -> None:
    """Refuse unknown names of accelerators and strategies, and devices that are no number."""
    known = {
        "accelerator": ["auto", "gpu", *AcceleratorRegistry.available_accelerators()],
        "strategy": ["auto", *StrategyRegistry.available_strategies()],
    }
    for name, names in known.items():
        value = arguments.get(name)
        if isinstance(value, str) and value not in names:
            raise UserError(
                f"trainer.{name}: there is no {value!r}{suggest(value, names) or '; there are auto, ddp, fsdp'}"
            )
    if _COPIES.fullmatch(strategy := str(arguments.get("strategy"))):
        raise UserError(
            f"trainer.strategy is {strategy}, which copies a running process and is meant for notebooks: give "
            f"{strategy.rsplit('_', 1)[0]}"
        )
    devices = arguments.get("devices")
    no_number = isinstance(devices, str) and not re.fullmatch(r"auto|-?\d+([, ]+\d+)*,?", devices)
    if no_number or devices in (0, "0", []):
        raise UserError("trainer.devices: give the number of devices, such as 1; leave it out for all GPUs or 1 CPU")


def check_device(arguments: Mapping[str, Any]) -> None:
    """Refuse an accelerator that the machine does not have.

    Raises:
        UserError: naming the argument.
    """
    name = arguments.get("accelerator")
    if isinstance(name, str) and name != "auto" and not any(map(_is_available, _GPUS if name == "gpu" else (name,))):
        raise UserError(
            "trainer.accelerator asks for a device that this machine does not have; leave it out, or give cpu"
        )
    strategy = str(arguments.get("strategy"))
    if strategy.startswith("fsdp") and (name == "cpu" or not any(map(_is_available, _GPUS))):
        raise UserError(f"trainer.strategy is {strategy}, which needs GPUs; leave it out, or give ddp")


def _is_available(accelerator: str) -> bool:
    try:
        return bool(AcceleratorRegistry.get(accelerator).is_available())
    except ModuleNotFoundError:  # what drives it is not installed
        return False


def _is_zero(time: Any) -> bool:
    """Whether a time, in any form that `lightning.Trainer` takes, has no length."""
    if isinstance(time, str):
        return not any(int(part) for part in time.split(":"))
    length = datetime.timedelta(**time) if isinstance(time, Mapping) else time
    return isinstance(length, datetime.timedelta) and length <= datetime.timedelta()


# ---- precision and monitor -------------------------------------------------------------------------------------------


def choose_precision(trainer: Namespace, model: Any, announce: bool) -> tuple[str | None, str]:
    """Return the precision that Lightning will compute in, and why; None where a plugin or strategy brings its own.

    Args:
        trainer: the trainer's configuration, its objects built.
        model: the task.
        announce: print on stderr that it differs from the configuration.
    """
    accelerator = trainer.accelerator if isinstance(trainer.accelerator, str) else trainer.accelerator.name()
    if trainer.precision is None:
        if _brings_precision(trainer):
            return None, "brought by a plugin"
        return default_precision(accelerator, getattr(model, "net", model))
    used = resolve_precision(trainer.precision, accelerator)
    configured = str(trainer.precision)
    if used == configured or not used.startswith("bf16") or configured.startswith("bf16"):  # "32" is short for 32-true
        return used, "asked for"
    reason = f"{configured} was requested; on the {resolve_device(accelerator).upper()} Lightning computes in {used}"
    if announce:
        print(f"precision {used}: {reason}", file=sys.stderr)
    return used, reason


def choose_monitor(monitor: str, trainer: Namespace, data: Any) -> str | None:
    """Return what the best checkpoint is chosen by; None by default where nothing is validated.

    Raises:
        UserError: it is a score of the test set, or of a validation that there is none of.
    """
    if monitor.startswith("test/"):
        raise UserError(f"monitor is {monitor}: a choice by the test set is not honest; give a score of val/")
    # overfit_batches validates on what it trains on.
    validated = trainer.overfit_batches or (getattr(data, "val_size", 1) > 0 and trainer.limit_val_batches != 0)
    if validated or not monitor.startswith("val/"):
        if monitor == MONITOR and getattr(data, "multilabel", False):
            say(f"several labels an image have no accuracy: the best checkpoint is chosen by {MULTILABEL_MONITOR}")
            return MULTILABEL_MONITOR
        return monitor
    if monitor != MONITOR:
        key = "trainer.limit_val_batches" if trainer.limit_val_batches == 0 else "data.val_size"
        raise UserError(f"monitor is {monitor}, but nothing is validated: {key} is 0; monitor train/loss, say")
    return None


_FIT_OPTIONS = {
    "--monitor": "the best checkpoint was chosen in training; --ckpt_path names another",
    "--mode": "the best checkpoint was chosen in training; --ckpt_path names another",
    "--trainer.overfit_batches": "a score is of all images; --trainer.limit_val_batches takes fewer",
}


def refuse_fit_options(line: CommandLine, trainer: Namespace) -> None:
    """Refuse options of training alone, and score all images of a run that trained on only a few batches."""
    for flag in line.flags:
        if flag in _FIT_OPTIONS:
            raise UserError(f"{flag} is for fit: {_FIT_OPTIONS[flag]}")
    trainer.overfit_batches = 0.0
    if not any(flag.startswith("--trainer.profiler") for flag in line.flags):
        trainer.profiler = None  # the training's, which a score need not print


def _brings_precision(trainer: Namespace) -> bool:
    plugins = trainer.plugins if isinstance(trainer.plugins, (list, tuple)) else [trainer.plugins]
    strategy = trainer.strategy
    if isinstance(strategy, Strategy) and type(strategy.precision_plugin) is not Precision:
        return True
    return any(isinstance(plugin, Precision) for plugin in plugins)
