"""Says what went wrong in at most three lines: what, why, what to do; and with which exit code the command ends."""

import re
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from cnnkit.callbacks import Diverged
from cnnkit.cli.errors.exit_codes import Description, describe_bug
from cnnkit.cli.errors.library_errors import shorten_error
from cnnkit.cli.errors.lost_workers import describe_lost_workers
from cnnkit.cli.parsing.hints import Origin
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

ABOVE = ("trainer", "data", "model", "model.net")  # what arguments that messages name stand below


def describe_error(error: BaseException, origin: Origin | None = None) -> Description:
    """Exit code and at most three lines for an exception.

    Args:
        error: what was raised.
        origin: where the values of the configuration come from.
    """
    text = str(error)
    if isinstance(error, UserError):
        return 2, f"error: {_with_place(text, origin or Origin())}".splitlines()[:3]
    if isinstance(error, Diverged):
        return 1, [f"error: {text}"]
    if text.startswith("`devices` selected with"):
        return 2, ["error: trainer.devices: give the number of devices, such as 1; leave it out for all GPUs or 1 CPU"]
    if monitor := re.match(r"(\w+) .*conditioned on metric `?([\w/]+)`? which is not available(.*)", text):
        there = [n for n in re.findall(r"[`']([\w/-]+)[`']", monitor[3]) if n not in (monitor[1], "monitor")]
        return 2, [f"error: monitor: nothing is logged as {monitor[2]!r}{suggest(monitor[2], there)}"]
    if limit := re.search(r"You requested to check ([\d.e-]+) of the .*Try at least `?(limit_\w+)=", text):
        return 2, [f"error: trainer.{limit[2]} is {limit[1]}, less than one batch; give a whole number of batches"]
    if isinstance(error, MisconfigurationException):
        return 2, [f"error: {shorten_error(error)}"]
    if lost := describe_lost_workers(text):
        return 1, [f"error: {lost}"]
    if isinstance(error, torch.OutOfMemoryError):
        return 1, ["error: the GPU's memory is full; lower data.batch_size, or set data.resident to host"]
    return describe_bug(error)


def _with_place(text: str, origin: Origin) -> str:
    """A sentence that begins with a key or the name of an argument that was given: with its whole key and its place."""
    named = re.match(r"([\w.]+)(?= is |: )", text)
    if named is None or Path(named[1]).exists():
        return text
    keys = [named[1]] if "." in named[1] else [named[1], *(f"{above}.{named[1]}" for above in ABOVE)]
    given = [key for key in keys if origin.has(key)]
    return f"{origin.where(given[0])}{given[0]}{text[named.end() :]}" if len(given) == 1 else text
