"""Prepares ``fit --resume``: finds the checkpoint and checks what changed, before anything on disk is touched."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.config_files.yaml_files import read_dump
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder, choose_checkpoint
from cnnkit.runs.keys import MAY_CHANGE, covers
from cnnkit.runs.records import differences, flatten
from cnnkit.shell import quote_command
from cnnkit.weights import read_weights
from cnnkit.weights.checkpoints import (
    NEEDED_TO_RESUME,
    DamagedCheckpoint,
    check_keys,
    check_weights_fit,
    load_checkpoint,
    weight_shapes,
)

_FREE = tuple(chain.from_iterable(MAY_CHANGE.values()))
_UNCOMPARED = ("ckpt_path", "config")
_DATA_PLACES = MAY_CHANGE["where the same data lie"]


@dataclass(frozen=True)
class Resume:
    """Where a run goes on, and what was changed for it.

    Attributes:
        step: how many optimizer steps were done.
        shapes: those of the checkpoint's weights, by name.
        changes: old and new value, by key.
    """

    run: RunFolder
    checkpoint: Path
    step: int
    shapes: dict[str, tuple[int, ...]]
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def prepare_resume(line: CommandLine, run: RunFolder, resolved: Mapping[str, Any], wanted: str | None) -> Resume:
    """Find the checkpoint that a run goes on from, `wanted` or else its last one, and check what changed.

    Raises:
        UserError: something differs that must not, or there is no checkpoint that can be read.
    """
    changes = _find_changes(line, run, resolved)
    checkpoint, content = _load(run, wanted)
    step = content["global_step"]
    _refuse_forbidden(line, run, changes, checkpoint)
    for key, done, place in (("max_epochs", content["epoch"] + 1, "in epoch"), ("max_steps", step, "at step")):
        new = changes.get(f"trainer.{key}", (None, None))[1]
        if isinstance(new, int) and 0 <= new < done:
            raise UserError(f"trainer.{key} is {new}, but {run} is {place} {done} already; give more, or --ckpt_path")
    return Resume(run, checkpoint, step, weight_shapes(content), changes)


def _find_changes(line: CommandLine, run: RunFolder, resolved: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Old and new value of every key that differs between a run's configuration and the present one.

    A key that the run's file does not have counts only if it is written now; else a newer version of a class has it.
    """
    written = [flag[2:].rstrip("+").replace(".init_args", "").replace(".class_path", "") for flag in line.flags]
    written += [key for file in line.files[1:] for key in flatten(file.values)]
    before = flatten(read_dump(run.config))
    found = {key: pair for key, pair in differences(before, flatten(resolved)).items() if key not in _UNCOMPARED}
    return {key: pair for key, pair in found.items() if key in before or covers(tuple(written), key)}


def _refuse_forbidden(
    line: CommandLine, run: RunFolder, changes: Mapping[str, tuple[Any, Any]], checkpoint: Path
) -> None:
    forbidden = [key for key in changes if not covers(_FREE, key)]
    if not forbidden:
        return
    key = next((k for k in forbidden if not any(k.startswith(f"{other}.") for other in forbidden)), forbidden[0])
    old, new = changes[key]
    others = [k for k in forbidden if k != key]
    more = f" (and {len(others)} more differ: {', '.join(others[:4])}{', ...' if len(others) > 4 else ''})"
    if key in ("name", "trainer.default_root_dir"):
        raise UserError(f"{key} is {old!r} in {run} and cannot become {new!r}: a resumed run stays in its folder")
    words = ["fit", "--config", str(run.config)]
    # Another net has other weights; everything else can start from those that are there.
    same_net = not any(covers(("model.net", "model"), k) and _reshapes(k, changes[k]) for k in forbidden)
    words += ["--weights", str(checkpoint)] if same_net else []
    raise UserError(
        f"{key} is {old!r} in {run} and cannot become {new!r} in a resume{more if others else ''}; "
        "`fit --help` lists what may change\n"
        f"for a new run{' from these weights' if same_net else ''}: {quote_command(*words, *_drop_resume(line.typed))}"
    )


def _reshapes(key: str, pair: tuple[Any, Any]) -> bool:
    """Whether a key may change the shapes of the weights: all of a net's, but for a plain rate or probability."""
    return key in ("model.net", "data", "data.image_size", "data.channels") or (
        key.startswith("model.net.") and not isinstance(pair[1], float)
    )


def _drop_resume(words: Sequence[str]) -> list[str]:
    """Return the words of a command without ``--resume RUN`` and ``--ckpt_path FILE``."""
    flags = ("--resume", "--ckpt_path")
    with_word_before = zip(words, ["", *words], strict=False)
    return [word for word, before in with_word_before if before not in flags and word.partition("=")[0] not in flags]


def _load(run: RunFolder, wanted: str | None) -> tuple[Path, dict[str, Any]]:
    """Load the checkpoint to resume from: the named one, the last one, or the newest that can be read."""
    first = run.last if wanted is None else choose_checkpoint(run, wanted)
    if first.resolve().parent != run.checkpoints.resolve():
        raise UserError(f"{first}: no checkpoint of {run}; a resume goes on from one of its own: last, best or a file")
    others = [file for file in run.checkpoints.glob("*.ckpt") if file != first] if wanted is None else []
    try:
        if first.exists():
            return first, _load_whole(first)
        if not others:
            raise UserError(f"{first}: no such checkpoint; the run saved none and can only be started again")
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
    """Check that weights and data fit, before anything is written; load the `weights` that a new run starts from.

    Raises:
        UserError: they do not fit.
    """
    if resume is not None:
        remedy = f"was the code changed since? For a new run: {quote_command('fit', '--config', resume.run.config)}"
        check_weights_fit(resume.shapes, model.state_dict(), resume.checkpoint, remedy)
        _check_data(resume, data)
    elif weights is not None:
        net, found = getattr(model, "net", model), read_weights(weights)
        remedy = "for a backbone alone: TransferTask, --model.weights"
        check_weights_fit(weight_shapes({"state_dict": found}), net.state_dict(), Path(weights), remedy)
        net.load_state_dict(found)


def _check_data(resume: Resume, data: Any) -> None:
    """Refuse other data than those of the run, wherever they lie now."""
    recorded = resume.run.manifest_if_readable().get("data")
    recorded = recorded if isinstance(recorded, dict) else {}
    moved = [key for key in resume.changes if covers(_DATA_PLACES, key) and key.startswith("data.")]
    found = data.describe() if hasattr(data, "describe") else {}
    if moved and not (recorded.get("fingerprint") and found.get("fingerprint")):
        raise UserError(
            f"{moved[0]}: cannot change in a resume, because there is no fingerprint of the data to compare"
        )
    for key, name in (("fingerprint", "the data"), ("split", "the split into training and validation images")):
        old, new = recorded.get(key), found.get(key)
        if old is not None and new is not None and old != new:
            raise UserError(
                f"{name} of {resume.run} had the fingerprint {old}, now it is {new}: a resume needs the same data; "
                "bring them back, or start a new run"
            )
