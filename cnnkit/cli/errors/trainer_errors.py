"""Names the key of the trainer that an error of Lightning is about, before the first step."""

import contextlib
import inspect
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.cli.errors.exceptions import passes_own_code, shorten_error
from cnnkit.cli.errors.messages import describe_error
from cnnkit.errors import UserError

ARGUMENTS = inspect.signature(L.Trainer).parameters
REMEDIES = {
    "BackboneFinetuning": "use TransferTask with mode gradual, which has a backbone in stages",
    "EarlyStopping": "give one of the names that the run logs, such as val/loss",
}


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
    """The argument that an error is about: one that it names, else one whose value it names, else all that differ."""
    lowered = text.lower()
    differ = [
        name for name, argument in ARGUMENTS.items() if arguments.get(name) != argument.default and name in arguments
    ]
    for names in (differ, list(ARGUMENTS)):
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
        culprit = find_callback(error, users)
        resumed = trainer.fit_loop.restarting or bool(trainer.ckpt_path)
        late = trainer.global_step > before and not resumed
        if late and (culprit is None or not isinstance(error, (ValueError, TypeError, AttributeError))):
            raise
        text = shorten_error(error)
        if culprit is not None:
            name = type(culprit).__name__
            remedy = f"; {REMEDIES[name]}" if name in REMEDIES else ""
            raise UserError(f"trainer.callbacks: {name}: {text}{remedy}\n--debug shows where it was raised") from error
        named = re.search(r"`(?:Trainer\()?(\w+)", str(error))
        if named and named[1] in ARGUMENTS:
            raise UserError(f"trainer.{named[1]}: {text}") from error
        raise


def find_callback(error: BaseException, users: Sequence[Callback]) -> Callback | None:
    """The callback in whose method an error was raised, the innermost first."""
    objects = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((callback for here in reversed(objects) for callback in users if callback is here), None)
