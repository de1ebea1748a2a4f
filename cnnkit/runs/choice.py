"""The run that a path names: the folder itself, or the newest suitable run of a name."""

import contextlib
import datetime
import sys
from collections.abc import Callable
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.notices import is_first_process
from cnnkit.runs.folder import ROOT, STAMP, RunFolder
from cnnkit.runs.lock import find_writer


def find(path: str | Path) -> RunFolder:
    """Find the run at ``path``, or the newest of the runs below it, whatever its status.

    Raises:
        UserError: if there is none.
    """
    return _list_runs(path)[0]


def choose_finished(path: str | Path) -> RunFolder:
    """Choose the run at ``path``, or the newest finished one of a name; of several, a line names it.

    Args:
        path: a run folder, a folder of runs of one name, or the name.

    Raises:
        UserError: there is none, or the path holds runs of several names.
    """

    def reason_to_skip(run: RunFolder) -> str:
        status = _read_status(run)
        return "" if status == "finished" else status

    return _choose(path, reason_to_skip, "finished")


def choose_resumable(path: str | Path) -> RunFolder:
    """Choose the run at ``path``, or the newest of a name that has a checkpoint to resume from.

    Raises:
        UserError: there is none, or the path holds runs of several names.
    """

    def reason_to_skip(run: RunFolder) -> str:
        # A running one is not skipped: its lock then refuses the resume.
        if any(run.checkpoints.glob("*.ckpt")) or find_writer(run.path):
            return ""
        return f"{_read_status(run)}, without a checkpoint"

    return _choose(path, reason_to_skip, "resumable")


def choose_checkpoint(run: RunFolder | None, wanted_file: str | None) -> Path:
    """Choose the file that ``--ckpt_path`` names.

    Args:
        run: the run of the command, if it has one.
        wanted_file: ``best``, ``last``, a file, or the name of one among the run's checkpoints; None: the best.

    Raises:
        UserError: there is no such file.
    """
    if wanted_file is not None and "://" in wanted_file:
        raise UserError(f"{wanted_file}: checkpoints are read from local files only; download it first")
    if run is None:
        if wanted_file is None:
            raise UserError("no weights to work with: name a run (--run RUN) or a checkpoint (--ckpt_path FILE)")
        if wanted_file in ("best", "last"):
            raise UserError(f"ckpt_path is {wanted_file!r}, which is a file of a run: name the run, too (--run RUN)")
        places = [Path(wanted_file)]
    elif wanted_file in (None, "best", "last"):
        places = [run.last if wanted_file == "last" else run.best]
    else:
        places = [Path(str(wanted_file)), run.checkpoints / str(wanted_file), run.checkpoints / f"{wanted_file}.ckpt"]
    for place in places:
        if place.exists():
            return place
    there = sorted(file.name for file in run.checkpoints.glob("*.ckpt")) if run is not None else []
    hint = f"; the run has {', '.join(there) or 'none'}" if run is not None else ""
    raise UserError(f"{places[0]}: no such checkpoint{hint}")


def _choose(path: str | Path, reason_to_skip: Callable[[RunFolder], str], wanted: str) -> RunFolder:
    runs = _list_runs(path)
    if runs[0].path == locate_runs(path):
        return runs[0]
    names = sorted({str(run.path.parent) for run in runs})
    if len(names) > 1:
        listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        raise UserError(f"{path}: holds runs of {len(names)} names; name one of them: {listed}")
    passed_over: list[str] = []
    for run in runs:
        reason = reason_to_skip(run)
        if not reason:
            newer = f"; passed over, newer: {', '.join(passed_over)}" if passed_over else ""
            if len(runs) > 1 and is_first_process():
                print(f"run: {run}{newer}", file=sys.stderr)
            return run
        passed_over.append(f"{run.path.name} ({reason})")
    raise UserError(
        f"{path}: none of its {len(runs)} runs is {wanted}; the newest is {passed_over[0]}; "
        f"name a run folder in full, such as {runs[0]}"
    )


def locate_runs(path: str | Path) -> Path:
    """The path, or the folder of that name below ``runs``."""
    path = Path(path)
    return Path(ROOT) / path if not path.exists() and not path.is_absolute() and (Path(ROOT) / path).exists() else path


def _list_runs(path: str | Path) -> list[RunFolder]:
    """The run at a path, or the runs below it, the newest first."""
    path = locate_runs(path)
    if (path / "config.yaml").is_file():
        return [RunFolder(path)]
    if not path.exists():
        raise UserError(f"{path}: no such run folder; `cnnkit runs` lists those there are")
    if not path.is_dir():
        raise UserError(f"{path}: not a run folder but a file; name the folder that holds config.yaml")
    below = [RunFolder(file.parent) for file in path.glob("**/config.yaml") if file.is_file()]
    if not below:
        raise UserError(f"{path}: not a run folder (it has no config.yaml), nor are there any below it")
    return sorted(below, key=_last_activity, reverse=True)


def _last_activity(run: RunFolder) -> tuple[str, float]:
    """The time of the last work on a run: its folder's name keeps the order even if the clock was set back."""
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


def _read_status(run: RunFolder) -> str:
    try:
        status = str(run.manifest().get("status") or "not started")
    except UserError:
        return "manifest.json cannot be read"
    if status == "running":
        return "running" if find_writer(run.path) else "killed"
    return status
