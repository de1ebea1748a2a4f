"""Which run a path stands for: itself, or the newest one of a name that serves."""

import contextlib
import datetime
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.runs.folder import ROOT, STAMP, RunFolder
from cnnkit.runs.lock import find_writer


def find(path: str | Path) -> RunFolder:
    """The run at ``path``, or the newest of the runs below it, whatever became of it.

    Raises:
        UserError: if there is none.
    """
    return _candidates(path)[0]


def choose_finished(path: str | Path) -> RunFolder:
    """The run at ``path``, or the newest finished one of a name; of several, one line says which.

    Args:
        path: a run folder, a folder of runs of one name, or the name.

    Raises:
        UserError: there is none, or the path holds runs of several names.
    """

    def hindrance(run: RunFolder) -> str:
        status = _status(run)
        return "" if status == "finished" else status

    return _choose(path, hindrance, "finished")


def choose_resumable(path: str | Path) -> RunFolder:
    """The same for the newest run that has a checkpoint to go on from.

    Raises:
        UserError: there is none, or the path holds runs of several names.
    """

    def hindrance(run: RunFolder) -> str:
        # One that is under way is not passed over: who takes it is told so by the lock.
        if any(run.checkpoints.glob("*.ckpt")) or find_writer(run.path):
            return ""
        return f"{_status(run)}, without a checkpoint"

    return _choose(path, hindrance, "resumable")


def choose_checkpoint(run: RunFolder | None, asked: str | None) -> Path:
    """The file that ``--ckpt_path`` means.

    Args:
        run: the run that the command is about, if it is about one.
        asked: ``best``, ``last``, a file, or the name of one among the run's checkpoints; None: the best.

    Raises:
        UserError: there is no such file.
    """
    if asked is not None and "://" in asked:
        raise UserError(f"{asked}: checkpoints are read from local files only; download it first")
    if run is None:
        if asked is None:
            raise UserError("no weights to work with: name a run (--run RUN) or a checkpoint (--ckpt_path FILE)")
        if asked in ("best", "last"):
            raise UserError(f"ckpt_path is {asked!r}, which is a file of a run: name the run, too (--run RUN)")
        places = [Path(asked)]
    elif asked in (None, "best", "last"):
        places = [run.last if asked == "last" else run.best]
    else:
        places = [Path(str(asked)), run.checkpoints / str(asked), run.checkpoints / f"{asked}.ckpt"]
    for place in places:
        if place.exists():
            return place
    there = sorted(file.name for file in run.checkpoints.glob("*.ckpt")) if run is not None else []
    hint = f"; the run has {', '.join(there) or 'none'}" if run is not None else ""
    raise UserError(f"{places[0]}: no such checkpoint{hint}")


def _choose(path: str | Path, hindrance: Callable[[RunFolder], str], wanted: str) -> RunFolder:
    candidates = _candidates(path)
    if candidates[0].path == _place(path):
        return candidates[0]
    names = sorted({str(run.path.parent) for run in candidates})
    if len(names) > 1:
        listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        raise UserError(f"{path}: holds runs of {len(names)} names; name one of them: {listed}")
    passed_over: list[str] = []
    for run in candidates:
        reason = hindrance(run)
        if not reason:
            newer = f"; passed over, newer: {', '.join(passed_over)}" if passed_over else ""
            if len(candidates) > 1 and os.environ.get("LOCAL_RANK", "0") == "0":  # one of several ranks says it
                print(f"run: {run}{newer}", file=sys.stderr)
            return run
        passed_over.append(f"{run.path.name} ({reason})")
    raise UserError(
        f"{path}: none of its {len(candidates)} runs is {wanted}; the newest is {passed_over[0]}; "
        f"name a run folder in full, such as {candidates[0]}"
    )


def _place(path: str | Path) -> Path:
    """The path, or the folder of that name below the root of runs."""
    path = Path(path)
    return Path(ROOT) / path if not path.exists() and not path.is_absolute() and (Path(ROOT) / path).exists() else path


def _candidates(path: str | Path) -> list[RunFolder]:
    """The run at a path alone, or the runs below it, the newest first."""
    path = _place(path)
    if (path / "config.yaml").is_file():
        return [RunFolder(path)]
    if not path.exists():
        raise UserError(f"{path}: no such run folder; `ls {ROOT}` shows those there are")
    if not path.is_dir():
        raise UserError(f"{path}: not a run folder but a file; name the folder that holds config.yaml")
    below = [RunFolder(file.parent) for file in path.glob("**/config.yaml") if file.is_file()]
    if not below:
        raise UserError(f"{path}: not a run folder (it has no config.yaml), nor are there any below it")
    return sorted(below, key=_activity, reverse=True)


def _activity(run: RunFolder) -> tuple[str, float]:
    """When it was worked on last: its folder's name keeps the order even if the clock was set back."""
    changed = run.config.stat().st_mtime
    stamp, manifest = STAMP.fullmatch(run.path.name), {}
    with contextlib.suppress(UserError):
        manifest = run.manifest()
    resumes = manifest.get("resumes")
    last = resumes[-1] if isinstance(resumes, list) and resumes else None
    moments = [last.get("started")] if isinstance(last, dict) else []
    if stamp is None:
        moments.append(manifest.get("started") or datetime.datetime.fromtimestamp(changed, datetime.UTC).isoformat())
    found = [stamp[1]] if stamp else []
    for moment in moments:
        with contextlib.suppress(TypeError, ValueError):
            found.append(datetime.datetime.fromisoformat(str(moment)).astimezone().strftime("%Y%m%d-%H%M%S"))
    return max(found, default=""), changed


def _status(run: RunFolder) -> str:
    try:
        status = str(run.manifest().get("status") or "not started")
    except UserError:
        return "manifest.json cannot be read"
    if status == "running":
        return "running" if find_writer(run.path) else "killed"
    return status
