"""``translation``: accuracy when the test images are shifted."""

import argparse
import csv
import functools
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.cli.options import Options, add_json, natural, positive
from cnnkit.errors import UserError
from cnnkit.run_folder import RunFolder, replacing

if TYPE_CHECKING:
    from cnnkit.analysis.translation import Shifted

DESCRIPTION = """\
Move the test images of runs up, down, left and right, fill with black, and print and draw the accuracy against the
shift, the mean of the four directions. A folder of runs that differ by their seeds alone is one curve, their mean with
Student's interval over the runs; the folder of a study is a curve a variant. A single run has Wilson's interval over
the images.

This looks at the test set. It says what a finished net is like; do not choose between nets by it."""
COLUMNS = ("name", "shift", "accuracy", "low", "high", "n", "of")


def arguments() -> Options:
    """The words of the command."""
    options = Options("translation", DESCRIPTION)
    options.add_argument(
        "--run",
        nargs="+",
        required=True,
        metavar="RUN",
        help="run folders, folders of runs with several seeds, studies",
    )
    options.add_argument(
        "--shifts", nargs="+", type=natural, default=list(range(7)), metavar="N", help="pixels (default: 0 to 6)"
    )
    options.add_argument("--images", type=positive, metavar="N", help="the first N test images only (default: all)")
    options.add_argument(
        "-o", "--output", default="translation.png", metavar="FILE", help="the plot (default: translation.png)"
    )
    options.add_argument("--csv", metavar="FILE", help="write the points as a table, too")
    add_json(options)
    return options


def run(asked: argparse.Namespace) -> int:
    """Measure every run, print the table, write the plot."""
    output = Path(asked.output)
    if output.suffix.lower() != ".png" or output.is_dir():
        raise UserError(f"output is {output}: give a file that ends in .png")
    notes: list[str] = []
    folders = _named(asked.run, notes)
    from cnnkit.analysis.plots import png_bytes
    from cnnkit.analysis.translation import mean_over_runs, translation_figure

    runs = {str(run): run for runs in folders.values() for run in runs}  # each once
    measured = _measure(list(runs.values()), sorted(set(asked.shifts)), asked.images)
    curves = {name: mean_over_runs([measured[str(run)] for run in runs]) for name, runs in folders.items()}
    _write(output, png_bytes(translation_figure(curves)))
    if asked.csv:
        _write(Path(asked.csv), _as_csv(curves).encode())
    if asked.json:
        print(json.dumps(_as_json(folders, curves, notes, output), indent=2))
    else:
        _print(curves, output)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    return 0


# ---- which runs ------------------------------------------------------------------------------------------------------


def _named(paths: Sequence[str], notes: list[str]) -> dict[str, list[RunFolder]]:
    """The runs of each curve, by the folder's name, or by its path where two have the same name."""
    from cnnkit.analysis.repetitions import read_repetitions

    found = {folder: runs for path in paths for folder, runs in read_repetitions(path, notes)}  # each once
    names = [folder.resolve().name for folder in found]
    return {
        name if names.count(name) == 1 else str(folder): [RunFolder(run.path) for run in runs]
        for name, (folder, runs) in zip(names, found.items(), strict=True)
    }


# ---- measuring -------------------------------------------------------------------------------------------------------


def _measure(runs: Sequence[RunFolder], shifts: list[int], images: int | None) -> "dict[str, list[Shifted]]":
    """The curve of each run, by its folder."""
    from cnnkit.analysis.translation import accuracy_under_translation
    from cnnkit.cli.predict_images import on_accelerator
    from cnnkit.cli.rebuild import load_task

    found = {}
    for run, data in zip(runs, _test_data(runs), strict=True):
        task = on_accelerator(load_task(run.best, [run.config])[0])
        found[str(run)] = accuracy_under_translation(
            task,
            data.store.test_images,
            data.store.test_labels[:images],
            data.augmentation.normalize,
            shifts,
            device=task.device,
            progress=functools.partial(_tracked, str(run)),
        )
    return found


def _test_data(runs: Sequence[RunFolder]) -> list[Any]:
    """The data modules of the runs, set up; all have the same test images."""
    from cnnkit.cli.build import build_data

    modules: list[Any] = []
    for run in runs:
        data: Any = build_data(run)
        data.setup("test")
        modules.append(data)
        if getattr(data, "store", None) is None:
            raise UserError(f"{run}: {type(data).__name__} has no store to take test images from")
        if data.store.fingerprint != modules[0].store.fingerprint:
            raise UserError(f"{run}: its test images are not those of {runs[0]}; compare runs on the same data")
    return modules


def _tracked(what: str, starts: Any) -> Iterator[int]:
    from cnnkit.cli.predict_images import tracked

    yield from tracked(iter(starts), len(starts), what)


# ---- what is shown ---------------------------------------------------------------------------------------------------


def _write(path: Path, content: bytes) -> None:
    try:
        with replacing(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); name another file") from None


def _as_csv(curves: "dict[str, list[Shifted]]") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"name": name, **asdict(point)} for name, points in curves.items() for point in points)
    return text.getvalue()


def _as_json(
    folders: dict[str, list[RunFolder]], curves: "dict[str, list[Shifted]]", notes: list[str], output: Path
) -> dict[str, Any]:
    return {
        "curves": [
            {"name": name, "runs": [str(run) for run in folders[name]], "points": [asdict(point) for point in points]}
            for name, points in curves.items()
        ],
        "notes": notes,
        "picture": str(output),
    }


def _print(curves: "dict[str, list[Shifted]]", output: Path) -> None:
    """A row a shift, a column a curve, the interval below the accuracy."""
    from rich.console import Console
    from rich.table import Table

    from cnnkit.analysis.terminal import shown

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("shift\npixels")
    for name, points in curves.items():
        table.add_column(f"{shown(name)}\n{points[0].n:,} {points[0].of}", justify="right", no_wrap=True)
    for row in zip(*curves.values(), strict=True):
        table.add_row(str(row[0].shift), *(f"{p.accuracy:.2%}\n{100 * p.low:.2f}-{100 * p.high:.2f}" for p in row))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    console.print(table)
    print(f"below each accuracy its 95 % interval\nplot  {shown(output)}")
