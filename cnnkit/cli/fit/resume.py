"""Prepares ``fit --resume``: finds the checkpoint and checks what changed, before anything on disk is touched."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from cnnkit.callbacks.checkpoint_reading import (
    NEEDED_TO_RESUME,
    DamagedCheckpoint,
    check_keys,
    check_weights_fit,
    load_checkpoint,
    weight_shapes,
)
from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder, choose_checkpoint
from cnnkit.runs.keys import MAY_CHANGE, covers
from cnnkit.runs.records import differences, flatten
from cnnkit.shell import quote_command
from cnnkit.weights import read_weights
from cnnkit.yaml_files import read_dump

_FREE = tuple(chain.from_iterable(MAY_CHANGE.values()))
_DATA_PLACES = MAY_CHANGE["where the same data lie"]


@dataclass(frozen=True)
class Resume:
    """Where a run goes on, and what was changed for it.

    Args:
        run: the run.
        checkpoint: the file.
        step: optimizer steps that were done.
        epoch: epochs that were finished or begun, counted from 0.
        shapes: of its weights by name.
        changes: old and new value by key.
    """

    run: RunFolder
    checkpoint: Path
    step: int
    epoch: int
    shapes: dict[str, tuple[int, ...]]
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def prepare_resume(line: CommandLine, run: RunFolder, resolved: Mapping[str, Any], asked: str | None) -> Resume:
    """Accept a resume, or say why not.

    Args:
        line: the command.
        run: which run goes on.
        resolved: its configuration with all defaults.
        asked: ``ckpt_path``; None: the last checkpoint.

    Raises:
        UserError: something differs that must not, or there is no checkpoint that can be read.
    """
    changes = find_changes(line, run, resolved)
    checkpoint, content = _load(run, asked)
    step, epoch = content["global_step"], content["epoch"]
    _refuse_forbidden(line, run, changes, checkpoint)
    for key, done, what in (("max_epochs", epoch + 1, "in epoch"), ("max_steps", step, "at step")):
        new = changes.get(f"trainer.{key}", (None, None))[1]
        if isinstance(new, int) and 0 <= new < done:
            raise UserError(f"trainer.{key} is {new}, but {run} is {what} {done} already; give more, or --ckpt_path")
    return Resume(run, checkpoint, step, epoch, weight_shapes(content), changes)


def find_changes(line: CommandLine, run: RunFolder, resolved: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Old and new value of every key that differs between a run's configuration and the present one.

    A key that the run's file does not have counts if somebody gave it now; else a newer version of a class has it.
    """
    before, now = flatten(read_dump(run.config)), flatten(resolved)
    given = set(_given(line))
    found = differences(before, now)
    for name in ("ckpt_path", "config"):
        found.pop(name, None)
    return {key: pair for key, pair in found.items() if key in before or covers(tuple(given), key)}


def _given(line: CommandLine) -> Iterator[str]:
    """Keys that the command line or a further file names."""
    for flag in line.flags:
        yield flag[2:].rstrip("+").replace(".init_args", "").replace(".class_path", "")
    for file in line.files[1:]:
        yield from flatten(file.values)


def _refuse_forbidden(
    line: CommandLine, run: RunFolder, changes: Mapping[str, tuple[Any, Any]], checkpoint: Path
) -> None:
    forbidden = [key for key in changes if not covers(_FREE, key)]
    if not forbidden:
        return
    key = next((k for k in forbidden if not any(k.startswith(f"{other}.") for other in forbidden)), forbidden[0])
    old, new = changes[key]
    more = f" (and {len(forbidden) - 1} more differ: {', '.join(k for k in forbidden if k != key)[:100]})"
    if key == "name" or key in ("trainer.default_root_dir",):
        raise UserError(f"{key} is {old!r} in {run} and cannot become {new!r}: a resumed run stays in its folder")
    words = ["fit", "--config", str(run.config)]
    # Another net has other weights; everything else can start from those that are there.
    same_net = not any(covers(("model.net", "model"), k) and _reshapes(k, changes[k]) for k in forbidden)
    words += ["--weights", str(checkpoint)] if same_net else []
    raise UserError(
        f"{key} is {old!r} in {run} and cannot become {new!r} in a resume{more if len(forbidden) > 1 else ''}; "
        "`fit --help` lists what may change\n"
        f"for a new run{' from these weights' if same_net else ''}: {quote_command(*words, *_others(line))}"
    )


def _reshapes(key: str, pair: tuple[Any, Any]) -> bool:
    """Whether a key may change the shapes of the weights: all of a net's, but for a plain rate or probability."""
    return key in ("model.net", "data", "data.image_size", "data.channels") or (
        key.startswith("model.net.") and not isinstance(pair[1], float)
    )


def _others(line: CommandLine) -> list[str]:
    """The words of the command without ``--resume RUN`` and ``--ckpt_path FILE``."""
    kept, skip = [], False
    for word in line.typed:
        if skip:
            skip = False
        elif word in ("--resume", "--ckpt_path"):
            skip = True
        elif not word.startswith(("--resume=", "--ckpt_path=")):
            kept.append(word)
    return kept


def _load(run: RunFolder, asked: str | None) -> tuple[Path, dict[str, Any]]:
    """The checkpoint to resume from: the named one, the last one, or the newest that can be read."""
    first = run.last if asked is None else choose_checkpoint(run, asked)
    if first.resolve().parent != run.checkpoints.resolve():
        raise UserError(f"{first}: no checkpoint of {run}; a resume goes on from one of its own: last, best or a file")
    others = [file for file in run.checkpoints.glob("*.ckpt") if file != first] if asked is None else []
    try:
        if not first.exists() and not others:
            raise UserError(f"{first}: no such checkpoint; the run came to none and can only be started again")
        if first.exists():
            return first, _load_whole(first)
        reason = f"{first}: not there"
    except DamagedCheckpoint as error:
        reason = str(error).partition(";")[0]
        if not others:
            raise
    readable = []
    for file in others:
        try:
            readable.append((file, _load_whole(file)))
        except UserError as error:
            print(str(error).partition(";")[0], file=sys.stderr)
    if not readable:
        raise UserError(f"{reason}, and no other checkpoint of {run} can be read; start it again") from None
    file, content = max(readable, key=lambda pair: (pair[1]["global_step"], pair[0].stat().st_mtime))
    print(f"{reason}; going on from {file.name}, step {content['global_step']}", file=sys.stderr)
    return file, content


def _load_whole(file: Path) -> dict[str, Any]:
    content = load_checkpoint(file)
    check_keys(content, file, NEEDED_TO_RESUME)
    return content


def check_start(resume: Resume | None, weights: str | None, model: Any, data: Any) -> None:
    """See that weights and data fit, when the objects are built and nothing is written yet; load ``--weights``.

    Args:
        resume: how a run goes on; None for a new one.
        weights: what a new run starts from, see `cnnkit.weights.read_weights`.
        model: the task.
        data: the data module.

    Raises:
        UserError: they do not fit.
    """
    if resume is not None:
        again = quote_command("fit", "--config", resume.run.config)
        check_weights_fit(
            resume.shapes, model.state_dict(), resume.checkpoint, f"was the code changed since? For a new run: {again}"
        )
        _check_data(resume, data)
    elif weights is not None:
        net, found = getattr(model, "net", model), read_weights(weights)
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        check_weights_fit(
            shapes, net.state_dict(), Path(weights), "for a backbone alone: TransferTask, --model.weights"
        )
        net.load_state_dict(found)


def _check_data(resume: Resume, data: Any) -> None:
    """The data must be those of the run, wherever they lie now."""
    recorded = resume.run.manifest_if_readable().get("data") or {}
    recorded = recorded if isinstance(recorded, dict) else {}
    moved = [key for key in resume.changes if covers(_DATA_PLACES, key) and key.startswith("data.")]
    found = data.describe() if hasattr(data, "describe") else {}
    if moved and not (recorded.get("fingerprint") and found.get("fingerprint")):
        raise UserError(
            f"{moved[0]}: cannot change in a resume, because there is no fingerprint of the data to compare"
        )
    for key in ("fingerprint", "split"):
        old, new = recorded.get(key), found.get(key)
        if old is not None and new is not None and old != new:
            what = {"fingerprint": "the data", "split": "the split into training and validation images"}[key]
            raise UserError(
                f"{what} of {resume.run} had the fingerprint {old}, now it is {new}: a resume needs the same data; "
                "bring them back, or start a new run"
            )
