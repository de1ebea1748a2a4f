"""Repetitions: runs in one folder that differ by their seeds alone."""

from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.runs import ROOT
from cnnkit.runs.choice import locate_runs
from cnnkit.runs.keys import WITHOUT_EFFECT, covers
from cnnkit.runs.records import RunRecord, config_differences, read_record
from cnnkit.shell import quote_command

# Keys of a configuration that may differ between the repetitions of a run, or keys above them.
_FREE = ("seed_everything", *WITHOUT_EFFECT)


def read_repetitions(path: str | Path, notes: list[str]) -> list[tuple[Path, list[RunRecord]]]:
    """Read the runs at a path: by folder, the repetitions of one configuration.

    A run folder gives one run. A folder of run folders gives the finished runs with the configuration and code of the
    newest one, one a seed. A folder of such folders, as a study makes it, gives one group each. A folder with a
    ``study.yaml`` gives the runs of that study.

    Args:
        path: one of these.
        notes: gets lines about runs that were left out.

    Raises:
        UserError: there is no run, or none is finished.
    """
    return [
        (name, [read_record(folder) for folder in folders])
        if folders == [name]
        else (name, _select_repetitions(name, [read_record(folder) for folder in folders], notes))
        for name, folders in _group_folders(locate_runs(path))
    ]


def _group_folders(path: Path) -> list[tuple[Path, list[Path]]]:
    """Names and run folders of the groups at a path."""
    if (path / "config.yaml").is_file():
        return [(path, [path])]
    if (path / "study.yaml").is_file():
        made = Path(ROOT) / path.resolve().name
        if not made.is_dir():
            raise UserError(f"{path}: {made} has no runs of this study; {quote_command('study', path)} makes them")
        path = made
    if not path.is_dir():
        raise UserError(f"{path}: no such run folder; `cnnkit runs` lists those there are")
    places = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    groups = [(place, [file.parent for file in sorted(place.glob("*/config.yaml"))]) for place in places]
    found = [(place, runs) for place, runs in groups if runs]
    if not found:
        raise UserError(f"{path}: not a run folder, nor a folder of runs; `cnnkit runs` lists those there are")
    return found


def _select_repetitions(name: Path, records: list[RunRecord], notes: list[str]) -> list[RunRecord]:
    """The finished runs that differ from the newest one by their seed alone, the newest of each, sorted by seed."""
    finished = sorted((r for r in records if r.get("status") == "finished"), key=lambda r: str(r.get("when")))
    if not finished:
        raise UserError(
            f"{name}: none of its {len(records)} runs is finished; `{quote_command('runs', name)}` says more"
        )
    if len(finished) < len(records):
        notes.append(f"{name}: {len(records) - len(finished)} of {len(records)} runs are not finished: left out")
    newest = finished[-1]
    _refuse_two_precisions(name, finished)
    others = {record.path: reason for record in finished if (reason := _describe_differences(record, newest))}
    if others:
        place, reason = next(iter(others.items()))
        unlike = f"{len(others)} finished runs are unlike {newest.path.name}"
        notes.append(f"{name}: {unlike}, left out: {place.name} in {reason}")
    alike = {record.get("seed"): record for record in finished if record.path not in others}
    if repeated := len(finished) - len(others) - len(alike):
        notes.append(f"{name}: {repeated} older runs with a seed that was used again: left out")
    return [alike[seed] for seed in sorted(alike, key=lambda seed: (seed is None, seed))]


def _refuse_two_precisions(name: Path, records: list[RunRecord]) -> None:
    """Refuse runs that would be repetitions of the newest one but have another precision."""
    of_precision = ("trainer.precision", "precision.value")
    newest = records[-1]
    unlike = {record.path: {*_list_differences(record, newest)} for record in records}
    repeated = {record.get("seed") for record in records if not unlike[record.path]}  # these replace older runs
    odd = [r for r in records if unlike[r.path] and unlike[r.path] <= {*of_precision} and r.get("seed") not in repeated]
    if odd:
        a, b = (f"{r.path.name} in {r.get('precision.value')}" for r in (odd[0], newest))
        raise UserError(
            f"{name}: its runs were computed in different precisions ({a}, {b}), which cannot be pooled; "
            "move those of one to another folder, or train them again with one trainer.precision"
        )


def _describe_differences(record: RunRecord, other: RunRecord) -> str:
    """The first differences of two runs besides the seed, as text."""
    return ", ".join(_list_differences(record, other)[:3])


def _list_differences(record: RunRecord, other: RunRecord) -> list[str]:
    keys = [key for key in config_differences(record, other) if not covers(_FREE, key)]
    facts = ("code", "precision.value", "data.fingerprint", "data.split")
    return keys + [key for key in facts if record.get(key) != other.get(key)]
