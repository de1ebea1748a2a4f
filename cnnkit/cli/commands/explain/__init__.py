"""``explain``: what in an image made the net decide, as pictures."""

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit import runs
from cnnkit.cli.parsing.options import Options, add_json, natural
from cnnkit.errors import UserError

if TYPE_CHECKING:
    from cnnkit.cli.commands.explain.images import Explained

SHEET = 16  # images that one picture may hold
DESCRIPTION = """\
Says the class of images and shows what in them speaks for it: Grad-CAM, integrated gradients and occlusion side by
side, one picture an image. The last two need captum: pip install 'cnnkit[explain]'.

The exit code is 3 if some files could not be read; the others are explained."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("explain", DESCRIPTION)
    options.add_argument("--run", required=True, metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("--images", nargs="+", default=[], metavar="PATH", help="image files, and folders of them")
    options.add_argument(
        "--test_images", nargs="+", default=[], metavar="N", type=natural, help="test images of the run's own data"
    )
    options.add_argument("--class", dest="label", metavar="NAME", help="the class to explain (default: the predicted)")
    options.add_argument(
        "--module", metavar="NAME", help="where Grad-CAM looks (default: the block around the last convolution)"
    )
    options.add_argument("--maps", action="store_true", help="draw the feature maps after every stage, too")
    options.add_argument(
        "-o", "--output", metavar="PATH", help="a folder, or one .png for all (default: RUN/explanations)"
    )
    add_json(options)
    return options


def run(asked: argparse.Namespace) -> int:
    """Explain the images, print a table; 3 if some files could not be read."""
    if not asked.images and not asked.test_images:
        raise UserError("no images: name files (--images photo.jpg) or some of the run's test images (--test_images 0)")
    run = runs.choose_finished(asked.run)
    from cnnkit.cli.image_files import list_images

    files = list_images(asked.images)
    output = Path(asked.output) if asked.output else run.path / "explanations"
    numbers = list(dict.fromkeys(asked.test_images))
    _check_output(output, files, len(files) + len(numbers), maps=asked.maps)

    from cnnkit.cli.commands.explain import images as work
    from cnnkit.cli.inference import move_to_accelerator, read_preprocessing, track
    from cnnkit.cli.task_loading import load_task
    from cnnkit.reporting.terminal import shown

    task, checkpoint = load_task(run.best, [run.config])
    data = read_preprocessing(checkpoint, run.best)
    _check_class(asked.label, data.class_names)
    unread: list[str] = []
    batches = itertools.chain(work.from_test_set(run, numbers), work.from_files(files, data, unread))
    request = work.Request(output, asked.label, asked.module, asked.maps, {file.resolve() for file in files})
    explained = work.explain_images(move_to_accelerator(task), data, batches, request)
    found = list(track(explained, len(files) + len(numbers), "explaining"))
    if asked.json:
        print(json.dumps(_as_json(run, found, unread), indent=2))
    elif found:
        _print(found, output)
    for reason in unread:
        print(shown(reason), file=sys.stderr)
    for note in _notes(task.net):
        print(note, file=sys.stderr)
    return 3 if unread else 0


def _check_output(output: Path, files: Sequence[Path], count: int, *, maps: bool) -> None:
    """Whether it serves, before anything is computed."""
    sheet = output.suffix.lower() == ".png"
    if output.suffix.lower() in (".jpg", ".jpeg", ".pdf", ".svg", ".gif", ".webp", ".csv", ".html"):
        raise UserError(f"output is {output}: give a folder, or a file that ends in .png")
    if (sheet and output.is_dir()) or (not sheet and output.exists() and not output.is_dir()):
        raise UserError(f"output is {output}: give a folder, or a file that ends in .png")
    if sheet and output.resolve() in {file.resolve() for file in files}:
        raise UserError(f"output is {output}, one of the images: name another file")
    if sheet and (count > SHEET or (maps and count > 1)):
        room = "the feature maps of one image" if maps else f"{SHEET} images"
        raise UserError(f"output is {output}: one file has room for {room}, not {count}; name a folder")


def _check_class(name: str | None, names: Sequence[str]) -> None:
    if name is not None and name not in names:
        from cnnkit.suggest import suggest

        raise UserError(f"class {name!r} is none of the net's{suggest(name, names)}")


def _notes(net: Any) -> list[str]:
    """What could not be drawn."""
    from cnnkit.inspection.explanation import has_captum, has_convolution

    notes = [] if has_convolution(net) else [f"no Grad-CAM: {type(net).__name__} has no convolution"]
    if not has_captum():
        notes.append("Grad-CAM alone: pip install 'cnnkit[explain]' brings integrated gradients and occlusion")
    return notes


def _as_json(run: runs.RunFolder, found: Sequence["Explained"], unread: Sequence[str]) -> dict[str, Any]:
    return {
        "run": str(run),
        "images": [
            {
                "path": each.path,
                "label": each.label,
                "class": each.top[0][0],
                "probability": each.top[0][1],
                "top": dict(each.top),
                "explained": dict(zip(("class", "probability"), each.explained, strict=True)),
                "picture": str(each.picture),
                "maps": each.maps and str(each.maps),
            }
            for each in found
        ],
        "unreadable": list(unread),
    }


def _print(found: Sequence["Explained"], output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from cnnkit.reporting.terminal import shown

    known = any(each.label is not None for each in found)
    other = any(each.explained != each.top[0] for each in found)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ["image", *(["label"] if known else []), "class", *(["explained"] if other else [])]:
        table.add_column(title)
        if title in ("class", "explained"):
            table.add_column("probability", justify="right")
    for each in found:
        cells = [shown(each.path), *([shown(each.label or "")] if known else [])]
        for name, share in [each.top[0], *([each.explained] if other else [])]:
            cells += [shown(name), f"{share:.2%}"]
        table.add_row(*cells)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(table)
    console.print(f"pictures  {shown(output)}")
