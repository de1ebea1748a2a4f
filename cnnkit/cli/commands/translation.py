"""``translation``: accuracy when the test images are shifted."""

import argparse
import csv
import io
import json
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
shift, the mean of the four directions. A folder of runs that differ by their seeds alone is one curve: their mean. Its
interval is then Student's t over the runs, else Wilson's over the images.

This looks at the test set. It says what a finished net is like; do not choose between nets by it."""
COLUMNS = ("name", "shift", "accuracy", "low", "high", "n", "of")


def arguments() -> Options:
    """The words of the command."""
    options = Options("translation", DESCRIPTION)
    options.add_argument(
        "--run", nargs="+", required=True, metavar="RUN", help="run folders, and folders of runs with several seeds"
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
    folders = _named(list(dict.fromkeys(asked.run)))
    from cnnkit.analysis.plots import png_bytes
    from cnnkit.analysis.translation import mean_over_runs, translation_figure

    measured = _measure([run for runs in folders.values() for run in runs], sorted(set(asked.shifts)), asked.images)
    curves = {name: mean_over_runs([measured[str(run)] for run in runs]) for name, runs in folders.items()}
    _write(output, png_bytes(translation_figure(curves)))
    if asked.csv:
        _write(Path(asked.csv), _as_csv(curves).encode())
    if asked.json:
        print(json.dumps(_as_json(folders, curves, output), indent=2))
    else:
        _print(curves, output)
    return 0


# ---- which runs ------------------------------------------------------------------------------------------------------


def _named(paths: Sequence[str]) -> dict[str, list[RunFolder]]:
    """The runs of each curve, by the folder's name, or by its path where two have the same name."""
    names = [Path(path).resolve().name for path in paths]
    return {
        name if names.count(name) == 1 else path: _runs_at(Path(path)) for path, name in zip(paths, names, strict=True)
    }


def _runs_at(path: Path) -> list[RunFolder]:
    """The run at a path, or the finished runs directly below it, which must be of one configuration."""
    if (path / "config.yaml").is_file():
        return [RunFolder(path)]
    if not path.exists():
        raise UserError(f"{path}: no such run folder; `ls runs` shows those there are")
    below = [RunFolder(file.parent) for file in sorted(path.glob("*/config.yaml"))]
    finished = [run for run in below if run.manifest().get("status") == "finished"]
    if not finished:
        deeper = any(path.glob("*/*/config.yaml"))
        reason = f"name the folders below it, {path}/*" if deeper else "name one that is"
        raise UserError(f"{path}: neither a run nor a folder with finished runs; {reason}")
    _check_variant(path, finished)
    return finished


def _check_variant(path: Path, runs: Sequence[RunFolder]) -> None:
    """A mean over runs is one of equals with different seeds."""
    import yaml

    configs = [yaml.safe_load(run.config.read_text(encoding="utf-8")) for run in runs]
    seeds = [config.get("seed_everything") for config in configs]
    for run, config in zip(runs, configs, strict=True):
        for key in ("model", "data"):
            if config.get(key) != configs[0].get(key):
                raise UserError(
                    f"{path}: its runs are no repetitions, {run.path.name} has another {key} than "
                    f"{runs[0].path.name}; name the runs instead"
                )
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{path}: two of its runs have the same seed, which says nothing of the spread; name the runs")


# ---- measuring -------------------------------------------------------------------------------------------------------


def _measure(runs: Sequence[RunFolder], shifts: list[int], images: int | None) -> "dict[str, list[Shifted]]":
    """The curve of each run, by its folder."""
    from cnnkit.analysis.translation import accuracy_under_translation
    from cnnkit.cli.predict_images import on_accelerator
    from cnnkit.cli.rebuild import load_task

    found: dict[str, list[Shifted]] = {}
    first = None
    for run in runs:
        data = _test_data(run)
        same = (data.store.fingerprint, data.image_size)
        if first not in (None, same):
            raise UserError(f"{run}: its test images are not those of {runs[0]}; compare runs on the same data")
        first = same
        task = on_accelerator(load_task(run.best, [run.config])[0])
        labels = data.store.test_labels[:images]
        found[str(run)] = accuracy_under_translation(
            task,
            data.store.test_images,
            labels,
            data.augmentation.normalize,
            shifts,
            device=task.device,
            progress=lambda starts, run=run: _tracked(starts, str(run)),  # type: ignore[misc]
        )
    return found


def _test_data(run: RunFolder) -> Any:
    from cnnkit.cli.build import build_data

    data: Any = build_data(run)
    data.setup("test")
    if getattr(data, "store", None) is None:
        raise UserError(f"{run}: {type(data).__name__} has no store to take test images from")
    return data


def _tracked(starts: Any, what: str) -> Iterator[int]:
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


def _as_json(folders: dict[str, list[RunFolder]], curves: "dict[str, list[Shifted]]", output: Path) -> dict[str, Any]:
    return {
        "curves": [
            {"name": name, "runs": [str(run) for run in folders[name]], "points": [asdict(point) for point in points]}
            for name, points in curves.items()
        ],
        "picture": str(output),
    }


def _print(curves: "dict[str, list[Shifted]]", output: Path) -> None:
    """A line a shift, a column a curve."""
    from rich.console import Console
    from rich.table import Table

    from cnnkit.cli.predict_images import shown

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("shift", justify="right")
    for name, points in curves.items():
        table.add_column(shown(name), justify="right")
        table.add_column(f"95 % ({points[0].n:,} {points[0].of})")
    for row in zip(*curves.values(), strict=True):
        cells = [cell for p in row for cell in (f"{p.accuracy:.2%}", f"{p.low:.2%} to {p.high:.2%}")]
        table.add_row(str(row[0].shift), *cells)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(table)
    console.print(f"plot  {shown(output)}")
