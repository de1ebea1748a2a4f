"""What `translation` and `challenges` share: runs in, accuracy on changed test images out."""

import csv
import functools
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.cli.parsing.options import Options, add_json, positive
from cnnkit.errors import UserError
from cnnkit.files import writing_output
from cnnkit.runs import RunFolder

if TYPE_CHECKING:
    from cnnkit.inspection.robustness import Point, Views

RUNS = """\
A folder of runs that differ by their seeds alone is one curve, their mean with Student's interval over the runs; the
folder of a study is a curve a variant. A single run has Wilson's interval over the images.

This looks at the test set. It says what a finished net is like; do not choose between nets by it."""


def add_options(options: Options, name: str) -> None:
    """The words that both commands have.

    Args:
        options: of the command.
        name: of the plot's file, without suffix.
    """
    options.add_argument(
        "--run",
        nargs="+",
        required=True,
        metavar="RUN",
        help="run folders, folders of runs with several seeds, studies",
    )
    options.add_argument("--images", type=positive, metavar="N", help="the first N test images only (default: all)")
    options.add_argument(
        "-o", "--output", default=f"{name}.png", metavar="FILE", help=f"the plot (default: {name}.png)"
    )
    options.add_argument("--csv", metavar="FILE", help="write the points as a table, too")
    add_json(options)


def check_output(output: str) -> Path:
    """The plot's file.

    Raises:
        UserError: it does not end in .png.
    """
    path = Path(output)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"output is {path}: give a file that ends in .png")
    return path


def find_runs(paths: Sequence[str], notes: list[str]) -> dict[str, list[RunFolder]]:
    """The runs of each curve, by the folder's name, or by its path where two have the same name."""
    from cnnkit.runs.repetitions import read_repetitions

    found = {folder: runs for path in paths for folder, runs in read_repetitions(path, notes)}  # each once
    names = [folder.resolve().name for folder in found]
    return {
        name if names.count(name) == 1 else str(folder): [RunFolder(run.path) for run in runs]
        for name, (folder, runs) in zip(names, found.items(), strict=True)
    }


class TrainedRuns:
    """The nets of some runs, one in memory at a time, and the test images that they share.

    Args:
        folders: the runs of each curve.
        images: the first so many test images; none given: all.
    """

    def __init__(self, folders: Mapping[str, Sequence[RunFolder]], images: int | None) -> None:
        self.folders = folders
        self.runs = {str(run): run for runs in folders.values() for run in runs}  # each once
        self.data = _test_data(list(self.runs.values()))
        self.images = self.data[0].store.test_images
        self.labels = self.data[0].store.test_labels[:images]

    def measure(self, changes: "Mapping[str, tuple[Views, Sequence[float]]]") -> "dict[str, dict[str, list[Point]]]":
        """The curve of each change and name.

        Args:
            changes: what is done to the images, and how strongly, by name.
        """
        from cnnkit.cli.commands.predict import on_accelerator
        from cnnkit.cli.rebuild import load_task
        from cnnkit.inspection.robustness import accuracy_under_change, mean_over_runs

        found: dict[str, dict[str, list[Point]]] = {change: {} for change in changes}
        for (name, run), data in zip(self.runs.items(), self.data, strict=True):
            task = on_accelerator(load_task(run.best, [run.config])[0])
            for change, (views, strengths) in changes.items():
                found[change][name] = accuracy_under_change(
                    task,
                    data.store.test_images,
                    self.labels,
                    data.augmentation.normalize,
                    views,
                    strengths,
                    device=task.device,
                    progress=functools.partial(_tracked, name if len(changes) == 1 else f"{name} {change}"),
                )
        return {
            change: {name: mean_over_runs([curves[str(run)] for run in runs]) for name, runs in self.folders.items()}
            for change, curves in found.items()
        }


def _test_data(runs: Sequence[RunFolder]) -> list[Any]:
    """The data modules of the runs, set up; all have the same test images."""
    from cnnkit.cli.parsing.build import build_data

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
    from cnnkit.cli.commands.predict import tracked

    yield from tracked(iter(starts), len(starts), what)


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file; see `writing_output`."""
    with writing_output(path) as file:
        file.write(content)


def points_as_csv(rows: "Sequence[tuple[dict[str, str], Point]]", strength: str) -> bytes:
    """A row a point.

    Args:
        rows: what names the point, and the point.
        strength: what the strength is called.
    """
    text = io.StringIO()
    table = [{**names, **rename(asdict(point), strength)} for names, point in rows]
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode()


def rename(point: dict[str, Any], strength: str) -> dict[str, Any]:
    """A point's fields, the strength under the name that it has in the command; whole numbers without a point."""
    value = point.pop("strength")
    return {strength: int(value) if float(value).is_integer() else value, **point}


def print_curves(curves: "Mapping[str, Sequence[Point]]", first: str) -> None:
    """A row a strength, a column a curve, the interval below the accuracy.

    Args:
        curves: by name.
        first: title of the first column.
    """
    from rich.console import Console
    from rich.table import Table

    from cnnkit.reporting.terminal import shown

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column(first)
    for name, points in curves.items():
        table.add_column(f"{shown(name)}\n{points[0].n:,} {points[0].of}", justify="right", no_wrap=True)
    for row in zip(*curves.values(), strict=True):
        accuracies = (f"{p.accuracy:.2%}\n{100 * p.low:.2f}-{100 * p.high:.2f}" for p in row)
        table.add_row(f"{row[0].strength:g}", *accuracies)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


def print_end(output: Path, notes: Sequence[str]) -> None:
    """Where the plot is, and what was left out."""
    from cnnkit.reporting.terminal import shown

    print(f"below each accuracy its 95 % interval\nplot  {shown(output)}")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
