"""What `translation` and `challenges` share: runs in, accuracy on changed test images out."""

import argparse
import csv
import functools
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnkit.cli.outputs import check_output, check_png, write_bytes
from cnnkit.cli.parsing.options import Options, add_json, positive
from cnnkit.errors import UserError
from cnnkit.notices import printable
from cnnkit.reporting.terminal import Cell, print_table
from cnnkit.runs import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cnnkit.inspection.robustness import Point, Views

RUNS = """\
A folder of runs that differ only in their seeds is one curve: their mean, with Student's interval over the runs. The
folder of a study is one curve for each variant. A single run has Wilson's interval over the images.

This looks at the test set. It says what a finished net is like; do not choose between nets by it."""


def make_options(name: str, description: str) -> Options:
    """The words that both commands have."""
    options = Options(f"classroom {name}", description)
    runs = "run folders, folders of runs with several seeds, studies"
    options.add_argument("--run", nargs="+", required=True, metavar="RUN", help=runs)
    options.add_argument("--images", type=positive, metavar="N", help="the first N test images only (default: all)")
    plot = f"the plot (default: {name}.png)"
    options.add_argument("-o", "--output", default=f"{name}.png", metavar="FILE", help=plot)
    options.add_argument("--csv", metavar="FILE", help="write the points as a table, too")
    add_json(options)
    return options


class Measurement:
    """Accuracy of some runs on the test images that they share; one net is in memory at a time.

    Args:
        args: the words of the command.
        strength: the name of a point's strength in tables and JSON.

    Raises:
        UserError: the output is no PNG, a run is not there, or the runs have different test images.
    """

    def __init__(self, args: argparse.Namespace, strength: str) -> None:
        self.args, self.strength, self.output = args, strength, check_png(args.output)
        self.csv = check_output(args.csv) if args.csv else None
        self.notes: list[str] = []
        self.folders = find_runs(args.run, self.notes)
        self.paths = {name: [str(run) for run in runs] for name, runs in self.folders.items()}
        self.runs = {str(run): run for runs in self.folders.values() for run in runs}  # each once
        self.data = load_test_data(list(self.runs.values()))
        if self.data[0].multilabel:
            raise UserError(
                f"{next(iter(self.runs))}: has several labels an image; this measures accuracies of one class"
            )
        self.images = self.data[0].store.test_images
        self.labels = self.data[0].store.test_labels[: args.images]

    def measure(self, changes: "Mapping[str, tuple[Views, Sequence[float]]]") -> "dict[str, dict[str, list[Point]]]":
        """The curve of each change and name.

        Args:
            changes: what is done to the images, and how strongly, by name.
        """
        from cnnkit.cli.inference import move_to_accelerator
        from cnnkit.inference.task_loading import load_task
        from cnnkit.inspection.robustness import accuracy_under_change, mean_over_runs

        found: dict[str, dict[str, list[Point]]] = {change: {} for change in changes}
        for (name, run), data in zip(self.runs.items(), self.data, strict=True):
            task = move_to_accelerator(load_task(run.best, [run.config])[0])
            for change, (views, strengths) in changes.items():
                found[change][name] = accuracy_under_change(
                    task,
                    data.store.test_images,
                    self.labels,
                    data.augmentation.normalize,
                    views,
                    strengths,
                    device=task.device,
                    progress=functools.partial(_track, name if len(changes) == 1 else f"{name} {change}"),
                )
        return {
            change: {name: mean_over_runs([curves[str(run)] for run in runs]) for name, runs in self.folders.items()}
            for change, curves in found.items()
        }

    def describe(self, point: dict[str, Any]) -> dict[str, Any]:
        """A point's fields, the strength under its own name; whole numbers without a decimal point."""
        value = point.pop("strength")
        return {self.strength: int(value) if float(value).is_integer() else value, **point}

    def write(self, figure: "Figure", rows: Sequence[dict[str, Any]]) -> None:
        """Write the plot, and the points if a table was named."""
        from cnnkit.reporting.figures import png_bytes

        write_bytes(self.output, png_bytes(figure))
        if self.csv:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_bytes(self.csv, text.getvalue().encode())

    def print_json(self, **found: Any) -> bool:
        """Print JSON if ``--json`` was given, and return whether it was."""
        if self.args.json:
            print(json.dumps({**found, "notes": self.notes, "picture": str(self.output)}, indent=2))
        return bool(self.args.json)

    def print_end(self) -> None:
        """Print where the plot is, and which runs were left out."""
        print(f"below each accuracy its 95 % interval\nplot  {printable(self.output)}")
        for note in self.notes:
            print(f"note: {note}", file=sys.stderr)


def find_runs(paths: Sequence[str], notes: list[str]) -> dict[str, list[RunFolder]]:
    """The runs of each curve, by the folder's name, or by its path where two have the same name."""
    from cnnkit.runs.repetitions import read_repetitions

    found = {folder: runs for path in paths for folder, runs in read_repetitions(path, notes)}  # each once
    names = [folder.resolve().name for folder in found]
    return {
        name if names.count(name) == 1 else str(folder): [RunFolder(run.path) for run in runs]
        for name, (folder, runs) in zip(names, found.items(), strict=True)
    }


def load_test_data(runs: Sequence[RunFolder]) -> list[Any]:
    """The data modules of the runs, set up; all have the same test images."""
    from cnnkit.cli.inference import load_test_images

    modules = [load_test_images(run) for run in runs]
    for run, data in zip(runs, modules, strict=True):
        if data.store.fingerprint != modules[0].store.fingerprint:
            raise UserError(f"{run}: its test images are not those of {runs[0]}; compare runs on the same data")
    return modules


def _track(what: str, starts: Any) -> Iterator[int]:
    from cnnkit.cli.inference import track

    yield from track(iter(starts), len(starts), what)


def print_curves(curves: "Mapping[str, Sequence[Point]]", first: Cell) -> None:
    """A row a strength, a column a curve, the interval below the accuracy.

    Args:
        curves: by name.
        first: title of the first column, or its lines.
    """
    head = [(name, f"{points[0].n:,} {points[0].of}") for name, points in curves.items()]
    lines: list[list[Cell]] = [
        [f"{row[0].strength:g}", *((f"{p.accuracy:.2%}", f"{100 * p.low:.2f}-{100 * p.high:.2f}") for p in row)]
        for row in zip(*curves.values(), strict=True)
    ]
    print_table([first, *head], lines, numbers=head, space=3)
