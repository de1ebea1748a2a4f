"""Describes an error in at most three lines (what, why, what to do), with the exit code of the command.

Errors of the trainer and its callbacks get the key that they are about.
"""

import contextlib
import inspect
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback

from cnnkit.callbacks import Diverged
from cnnkit.cli.errors.exceptions import describe_fault, passes_own_code, shorten_error
from cnnkit.cli.errors.exit_codes import Description, describe_bug
from cnnkit.cli.parsing.hints import Origin
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

ABOVE = ("trainer", "data", "model", "model.net")  # what arguments that messages name stand below
_KILLED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: (\w+)|exited unexpectedly)"
)

_ARGUMENTS = inspect.signature(L.Trainer).parameters
_REMEDIES = {
    "BackboneFinetuning": "use TransferTask with mode gradual, which has a backbone in stages",
    "EarlyStopping": "give one of the names that the run logs, such as val/loss",
}


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
    if passes_own_code(error):
        return 1, [f"error: {describe_fault(error)}", "--debug shows the whole traceback"]
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


@contextlib.contextmanager
def name_trainer_argument(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Turn what the trainer refuses into one line with the key of the argument.

    Raises:
        UserError: for any error but those that have a message of their own.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        line = describe_error(error)[1][0]
        if line.startswith("error: trainer.") and "`" not in line:
            raise
        raise UserError(f"trainer.{find_argument(str(error), arguments)}: {shorten_error(error)}") from error


def find_argument(text: str, arguments: Mapping[str, Any]) -> str:
    """Find the argument that an error names, else one whose value it names, else all that differ from the defaults."""
    lowered = text.lower()
    differ = [n for n, parameter in _ARGUMENTS.items() if n in arguments and arguments[n] != parameter.default]
    for names in (differ, list(_ARGUMENTS)):
        named = {name: lowered.find(name) for name in names if name in lowered}
        if named:  # of max_steps and steps the longer, of two the one that is named first
            return min(named, key=lambda name: (named[name], -len(name)))
    values = {name: str(arguments[name]).lower().replace("-", "_") for name in differ}
    words = set(re.findall(r"[a-z_]{5,}", lowered.replace("-", "_")))  # a package is called much as the value is
    same = [name for name, value in values.items() if len(value) > 2 and value in lowered]  # 1 is in every version
    same += [name for name, value in values.items() if any(word in value for word in words)]
    return same[0] if same else " or ".join(differ[:3]) or "accelerator"


@contextlib.contextmanager
def name_callback(trainer: L.Trainer, users: Sequence[Callback]) -> Iterator[None]:
    """Turn an error before the first step into one line, if a user's callback or an argument of the trainer raised it.

    Some callbacks look at their own arguments later: a value that is refused then is named as well.

    Raises:
        UserError: naming the callback or the argument.
    """
    before = trainer.global_step
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, (ValueError, TypeError)) and passes_own_code(error):
            raise  # a bug
        culprit = _find_callback(error, users)
        resumed = trainer.fit_loop.restarting or bool(trainer.ckpt_path)
        late = trainer.global_step > before and not resumed
        if late and (culprit is None or not isinstance(error, (ValueError, TypeError, AttributeError))):
            raise
        text = shorten_error(error)
        if culprit is not None:
            name = type(culprit).__name__
            remedy = f"; {_REMEDIES[name]}" if name in _REMEDIES else ""
            raise UserError(f"trainer.callbacks: {name}: {text}{remedy}\n--debug shows where it was raised") from error
        named = re.search(r"`(?:Trainer\()?(\w+)", str(error))
        if named and named[1] in _ARGUMENTS:
            raise UserError(f"trainer.{named[1]}: {text}") from error
        raise


def _find_callback(error: BaseException, users: Sequence[Callback]) -> Callback | None:
    """Find the callback in whose method an error was raised, the innermost first."""
    objects = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((callback for here in reversed(objects) for callback in users if callback is here), None)
