"""Repetitions: the runs that differ by their seeds alone, by the folders that they stand in."""

from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.runs import ROOT
from cnnkit.runs.keys import WITHOUT_EFFECT, covers
from cnnkit.runs.records import RunRecord, config_differences, read_record
from cnnkit.shell import quote_command

# Keys of a configuration that may differ between the repetitions of a run, or keys above them.
_FREE = ("seed_everything", *WITHOUT_EFFECT)


def read_repetitions(path: str | Path, notes: list[str]) -> list[tuple[Path, list[RunRecord]]]:
    """The runs that a path stands for: by folder, the repetitions of one configuration.

    A run folder is alone. A folder of run folders has the finished runs with the configuration and code of the newest
    one, one a seed. A folder of such folders, as a study makes it, is as many. A folder with a ``study.yaml`` stands
    for the runs of that study.

    Args:
        path: one of these.
        notes: gets lines about runs that were left out.

    Raises:
        UserError: there is no run, or none is finished.
    """
    return [
        (name, [read_record(folder) for folder in folders])
        if folders == [name]
        else (name, _repetitions(name, [read_record(folder) for folder in folders], notes))
        for name, folders in _groups(Path(path))
    ]


def _groups(path: Path) -> list[tuple[Path, list[Path]]]:
    """Names and run folders of the sides that a path stands for."""
    if (path / "config.yaml").is_file():
        return [(path, [path])]
    if (path / "study.yaml").is_file():
        made = Path(ROOT) / path.resolve().name
        if not made.is_dir():
            raise UserError(f"{path}: {made} has no runs of this study; {quote_command('study', path)} makes them")
        path = made
    if not path.is_dir():
        raise UserError(f"{path}: no such run folder; `python -m cnnkit runs` lists those there are")
    places = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    groups = [(place, [file.parent for file in sorted(place.glob("*/config.yaml"))]) for place in places]
    found = [(place, runs) for place, runs in groups if runs]
    if not found:
        raise UserError(
            f"{path}: not a run folder, nor a folder of runs; `python -m cnnkit runs` lists those there are"
        )
    return found


def _repetitions(name: Path, records: list[RunRecord], notes: list[str]) -> list[RunRecord]:
    """The finished runs that are like the newest one but for their seed, the newest of each seed, in order of seeds."""
    finished = sorted((r for r in records if r.get("status") == "finished"), key=lambda r: str(r.get("when")))
    if not finished:
        raise UserError(
            f"{name}: none of its {len(records)} runs is finished; `{quote_command('runs', name)}` says more"
        )
    if len(finished) < len(records):
        notes.append(f"{name}: {len(records) - len(finished)} of {len(records)} runs are not finished: left out")
    newest = finished[-1]
    _refuse_two_precisions(name, finished)
    others = {record.path: reason for record in finished if (reason := _unlike(record, newest))}
    if others:
        notes.append(f"{name}: {len(others)} finished runs are unlike {newest.path.name}, left out: {_first(others)}")
    alike = {record.get("seed"): record for record in finished if record.path not in others}
    if repeated := len(finished) - len(others) - len(alike):
        notes.append(f"{name}: {repeated} older runs with a seed that was used again: left out")
    return [alike[seed] for seed in sorted(alike, key=lambda seed: (seed is None, seed))]


def _refuse_two_precisions(name: Path, records: list[RunRecord]) -> None:
    """See that runs that would be repetitions of the newest one were computed in its precision."""
    of_precision = ("trainer.precision", "precision.value")
    newest = records[-1]
    unlike = {record.path: {*_unlike_in(record, newest)} for record in records}
    repeated = {record.get("seed") for record in records if not unlike[record.path]}  # what they replace is left out
    odd = [r for r in records if unlike[r.path] and unlike[r.path] <= {*of_precision} and r.get("seed") not in repeated]
    if odd:
        a, b = (f"{r.path.name} in {r.get('precision.value')}" for r in (odd[0], newest))
        raise UserError(
            f"{name}: its runs were computed in different precisions ({a}, {b}), which cannot be pooled; "
            "move those of one to another folder, or train them again with one trainer.precision"
        )


def _unlike(record: RunRecord, other: RunRecord) -> str:
    """In what two runs differ besides the seed, or nothing."""
    return ", ".join(_unlike_in(record, other)[:3])


def _unlike_in(record: RunRecord, other: RunRecord) -> list[str]:
    keys = [key for key in config_differences(record, other) if not covers(_FREE, key)]
    facts = ("code", "precision.value", "data.fingerprint", "data.split")
    return keys + [key for key in facts if record.get(key) != other.get(key)]


def _first(reasons: dict[Path, str]) -> str:
    place, reason = next(iter(reasons.items()))
    return f"{place.name} in {reason}"
