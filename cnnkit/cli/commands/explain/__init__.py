"""``explain``: what in an image made the net decide, as pictures."""

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit import runs
from cnnkit.allocator import import_quickly
from cnnkit.cli.outputs import check_writable
from cnnkit.cli.parsing.options import Options, add_json, natural
from cnnkit.errors import UserError
from cnnkit.notices import printable
from cnnkit.reporting.terminal import print_table
from cnnkit.suggest import suggest

if TYPE_CHECKING:
    from cnnkit.cli.commands.explain.images import ExplainedImage

CAMS = {"gradcam": "Grad-CAM", "hirescam": "HiResCAM", "layercam": "LayerCAM"}
SHEET = 16  # images that one picture may hold
DESCRIPTION = """\
Says the class of images and shows what in them speaks for it: a class activation map, integrated gradients and
occlusion side by side, one picture an image. The last two need captum: pip install 'cnnkit[explain]'. Below each map
stands how far to believe it: the probability of the class while its pixels appear (insertion) and vanish (deletion).

The exit code is 3 if some files could not be read; the others are explained."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("explain", DESCRIPTION)
    options.add_argument("--run", required=True, metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("--images", nargs="+", default=[], metavar="PATH", help="image files, and folders of them")
    numbers = "test images of the run's own data"
    options.add_argument("--test_images", nargs="+", default=[], metavar="N", type=natural, help=numbers)
    options.add_argument("--class", dest="label", metavar="NAME", help="the class to explain (default: the predicted)")
    kind = "kind of the class activation map (default: hirescam)"
    options.add_argument("--cam", choices=sorted(CAMS), default="hirescam", help=kind)
    module = "its module (default: the block around the last convolution with maps of 7x7 pixels or more)"
    options.add_argument("--module", metavar="NAME", help=module)
    options.add_argument("--maps", action="store_true", help="draw the feature maps after every stage, too")
    output = "a folder, or one .png for all (default: RUN/explanations)"
    options.add_argument("-o", "--output", metavar="PATH", help=output)
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Explain the images, print a table; 3 if some files could not be read."""
    if not args.images and not args.test_images:
        raise UserError("no images: name files (--images photo.jpg) or some of the run's test images (--test_images 0)")
    run = runs.choose_finished(args.run)
    from cnnkit.cli.image_files import list_images

    files = list_images(args.images)
    output = Path(args.output) if args.output else run.path / "explanations"
    numbers = list(dict.fromkeys(args.test_images))
    taken = {file.resolve() for file in files}
    _check_output(output, taken, len(files) + len(numbers), maps=args.maps)

    with import_quickly():
        from cnnkit.cli.commands.explain import images
        from cnnkit.cli.inference import move_to_accelerator, track
        from cnnkit.inference.preprocessing import read_preprocessing
        from cnnkit.inference.trained_net import load_classifier

    classifier, checkpoint = load_classifier(run.best, [run.config])
    data = read_preprocessing(checkpoint, run.best)
    if args.label is not None and args.label not in data.class_names:
        raise UserError(f"class {args.label!r} is none of the net's{suggest(args.label, data.class_names)}")
    unread: list[str] = []
    batches = itertools.chain(images.read_test_images(run, numbers), images.read_files(files, data, unread))
    drawing = images.Drawing(output, args.label, args.module, CAMS[args.cam], args.maps, taken)  # type: ignore[arg-type]
    explained = images.draw_explanations(move_to_accelerator(classifier), data, batches, drawing)
    found = list(track(explained, len(files) + len(numbers), "explaining"))
    if args.json:
        values = {"run": str(run), "images": [each.as_json() for each in found], "unreadable": unread}
        print(json.dumps(values, indent=2))
    elif found:
        _print(found, output)
    for line in [*map(printable, unread), *_notes(classifier.net)]:
        print(line, file=sys.stderr)
    return 3 if unread else 0


def _check_output(output: Path, taken: set[Path], count: int, *, maps: bool) -> None:
    """Refuse an output that cannot be used, before anything is computed."""
    is_sheet = output.suffix.lower() == ".png"
    is_other = output.suffix.lower() in (".jpg", ".jpeg", ".pdf", ".svg", ".gif", ".webp", ".csv", ".html")
    if is_other or (output.is_dir() if is_sheet else output.exists() and not output.is_dir()):
        raise UserError(f"output is {output}: give a folder, or a file that ends in .png")
    if is_sheet and output.resolve() in taken:
        raise UserError(f"output is {output}, one of the images: name another file")
    if is_sheet and (count > SHEET or (maps and count > 1)):
        room = "the feature maps of one image" if maps else f"{SHEET} images"
        raise UserError(f"output is {output}: one file has room for {room}, not {count}; name a folder")
    check_writable(output if is_sheet else output / "explained.png")


def _notes(net: Any) -> list[str]:
    """What could not be drawn."""
    from cnnkit.inspection.explanation import has_captum, has_convolution

    notes = [] if has_convolution(net) else [f"no class activation map: {type(net).__name__} has no convolution"]
    if not has_captum():
        notes.append(
            "a class activation map alone: pip install 'cnnkit[explain]' brings integrated gradients and occlusion"
        )
    return notes


def _describe_best(image: "ExplainedImage") -> str:
    if image.best is None:
        return ""
    scores = image.scores[image.best]
    return f"{image.best}: insertion {scores['insertion']:.2f}, deletion {scores['deletion']:.2f}"


def _print(found: "Sequence[ExplainedImage]", output: Path) -> None:
    columns = {"image": [each.path for each in found]}
    if any(each.label is not None for each in found):
        columns["label"] = [each.label or "" for each in found]
    columns |= {"class": [each.top[0][0] for each in found], "probability": [f"{each.top[0][1]:.2%}" for each in found]}
    if any(each.explained != each.top[0] for each in found):
        columns["explained"] = [each.explained[0] for each in found]
        columns["its probability"] = [f"{each.explained[1]:.2%}" for each in found]
    columns["map to believe"] = [_describe_best(each) for each in found]
    print_table(list(columns), list(zip(*columns.values(), strict=True)))
    print(f"pictures  {printable(output)}")
