"""Chooses precision and monitor once net and data are known, so that the configuration says what is used."""

import sys
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.plugins import Precision
from lightning.pytorch.strategies import Strategy

from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.errors import UserError
from cnnkit.metric_names import MONITOR
from cnnkit.precision import default_precision, resolve_device, resolve_precision


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
