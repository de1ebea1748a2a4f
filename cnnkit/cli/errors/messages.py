"""Describes an error in at most three lines (what, why, what to do), with the exit code of the command."""

import re
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from cnnkit.callbacks import Diverged
from cnnkit.cli.errors.exceptions import shorten_error
from cnnkit.cli.errors.exit_codes import Description, describe_bug
from cnnkit.cli.parsing.hints import Origin
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

ABOVE = ("trainer", "data", "model", "model.net")  # what arguments that messages name stand below
_KILLED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: (\w+)|exited unexpectedly)"
)


def describe_error(error: BaseException, origin: Origin | None = None) -> Description:
    """Return exit code and at most three lines for an exception."""
    text = str(error)
    if isinstance(error, UserError):
        return 2, f"error: {_add_place(text, origin or Origin())}".splitlines()[:3]
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
    if lost := _describe_lost_workers(text):
        return 1, [f"error: {lost}"]
    if isinstance(error, torch.OutOfMemoryError):
        return 1, ["error: the GPU's memory is full; lower data.batch_size, or set data.resident to host"]
    return describe_bug(error)


def _describe_lost_workers(text: str) -> str | None:
    """Explain what torch raises, wherever the main process happens to be, when a data worker is lost."""
    if "shared memory" in text or "/torch_" in text:  # comes first: a worker may be killed for it
        return (
            "the shared memory (/dev/shm) is full, through which data workers send batches; set data.num_workers to 0, "
            "lower data.batch_size, or enlarge it (docker run --shm-size 2g)"
        )
    if killed := _KILLED.search(text):
        how = f"by the signal {killed[2]}" if killed[2] else "while it worked"
        return (
            f"data worker {killed[1]} was ended {how}, as the system does when memory is short; lower data.num_workers "
            "(0: none), data.batch_size or data.max_pixels, or set data.cache to none"
        )
    if "received 0 items of ancdata" in text or "Too many open files" in text:
        return "too many files are open for data workers; lower data.num_workers, or raise the limit (ulimit -n 65536)"
    return None


def _add_place(text: str, origin: Origin) -> str:
    """Put the whole key and its place before a sentence that begins with a key or the name of a written argument."""
    named = re.match(r"([\w.]+)(?= is |: )", text)
    if named is None or Path(named[1]).exists():
        return text
    keys = [named[1]] if "." in named[1] else [named[1], *(f"{above}.{named[1]}" for above in ABOVE)]
    written = [key for key in keys if origin.has(key)]
    return f"{origin.locate(written[0])}{text[named.end() :]}" if len(written) == 1 else text
