"""``export``: a trained net as a file that runs without cnnkit, compared with the net before it is left."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from cnnkit import runs
from cnnkit.allocator import import_quickly
from cnnkit.cli.cores import use_free_cores
from cnnkit.cli.outputs import check_output
from cnnkit.cli.parsing.options import Options, add_json, positive
from cnnkit.errors import UserError
from cnnkit.export import SUFFIXES
from cnnkit.notices import say
from cnnkit.reporting.terminal import print_rows
from cnnkit.runs.folder import count_look
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.export.int8 import Int8
    from cnnkit.export.proof import Agreement, Proof
    from cnnkit.export.subject import CheckImages, Subject

DESCRIPTION = """\
Write the net of a run as one file that takes the pixels of images of any size, uint8 (B, C, H, W), and gives the
probabilities of the classes: resize, normalization, views (tta) and temperature are inside, and so are the names of the
classes. `onnx` runs in onnxruntime, `torch` (.pt2) in torch without cnnkit; `safetensors` holds the weights and what
cnnkit needs to build the net again.

The file is run on the test images first, and refused if its classes differ from the net's, or its probabilities by more
than 1e-4. The proof stands beside it, as <file>.json.

With --int8, an ONNX file computes with integers of 8 bits. Their scales are calibrated on validation images. The proof
says what it costs on the test images, and a file that loses more than --max_drop points of accuracy is refused."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("export", DESCRIPTION)
    options.add_argument("--run", metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("--ckpt_path", metavar="FILE", help="another checkpoint: best, last, a file")
    config = "with a checkpoint file: a configuration whose classes may be imported"
    options.add_argument("-c", "--config", action="append", default=[], metavar="FILE", help=config)
    options.add_argument("--format", choices=list(SUFFIXES), required=True, help="the kind of file")
    options.add_argument("-o", "--output", metavar="FILE", help="the file (default: RUN/export/NAME)")
    options.add_argument("--tta", choices=get_args(TTA), help="views of each image to average (default: the run's)")
    tau = "subtract X log(share of the class) from its logit (default: the run's)"
    options.add_argument("--posthoc_tau", type=float, metavar="X", help=tau)
    count = "check on so many images, evenly spaced (default: all)"
    options.add_argument("--check_images", type=positive, metavar="N", help=count)
    images = "check on image files instead of the test images of the run's data"
    options.add_argument("--images", nargs="+", action="extend", default=[], metavar="PATH", help=images)
    int8 = "ONNX: calculate with integers of 8 bits, which is smaller, often faster, and less exact"
    options.add_argument("--int8", action="store_true", help=int8)
    drop = "with --int8: points of accuracy that may be lost (default 1)"
    options.add_argument("--max_drop", type=_points, metavar="POINTS", help=drop)
    count = "with --int8: validation images to calibrate on, evenly spaced (default 512)"
    options.add_argument("--calibration_images", type=positive, metavar="N", help=count)
    add_json(options)
    return options


def _points(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of points from 0 to 100")
    return points


def run(args: argparse.Namespace) -> int:
    """Export, check, and print the proof."""
    _refuse(args)
    run = runs.choose_finished(args.run) if args.run else None
    output = _choose_output(args, run)
    with import_quickly():
        from cnnkit.cli.image_files import list_images
        from cnnkit.cli.inference import find_configs
        from cnnkit.export.exporting import export_run
        from cnnkit.export.subject import open_subject, take_files

    use_free_cores()
    files = list_images(args.images)
    subject = open_subject(run, args.ckpt_path, find_configs(args.config), tta=args.tta, posthoc_tau=args.posthoc_tau)
    images = (
        take_files(files, subject.data, args.check_images) if files else take_test_images(subject, args.check_images)
    )
    proof = export_run(subject, args.format, output, images, _plan_int8(args, run) if run and args.int8 else None)
    if run is not None and proof.accuracy and not run.manifest().get("test"):
        _count_look(run)  # the scores of a tested run tell nothing new
    if args.json:
        print(json.dumps({"path": str(output), **proof.as_json()}, indent=2))
    else:
        print_proof(output, proof)
    return 0


def _count_look(run: runs.RunFolder) -> None:
    """Count a look at the test images; the file is there, so a run that cannot be written ends in no error."""
    try:
        with run.edit_manifest() as manifest:
            count_look(manifest)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        say(f"{run.manifest_file}: cannot be written ({reason}); this look at the test images is not counted")


def _refuse(args: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    if args.int8 and args.format != "onnx":
        raise UserError(f"--int8 is for --format onnx, not {args.format}: choose onnx, or leave out --int8")
    if args.int8 and not args.run:
        raise UserError("--int8 is calibrated on the validation images of a run: name it (--run RUN)")
    for name in ("max_drop", "calibration_images"):
        if getattr(args, name) is not None and not args.int8:
            raise UserError(f"--{name} has no effect without --int8: add it, or leave out --{name}")


def _plan_int8(args: argparse.Namespace, run: runs.RunFolder) -> "Int8":
    from cnnkit.cli.inference import load_validation_data
    from cnnkit.export.int8 import CALIBRATION_IMAGES, MAX_DROP, Int8
    from cnnkit.export.subject import spread

    try:
        data = load_validation_data(run, "int8 is calibrated on them")
    except UserError as error:
        raise UserError(f"--int8 is calibrated on the run's validation images: {error}") from error
    assert data.store is not None
    chosen = spread(len(data.val_indices), args.calibration_images or CALIBRATION_IMAGES)
    images = data.store.train_images.index_select(0, data.val_indices[chosen])
    return Int8(images.numpy(), MAX_DROP if args.max_drop is None else args.max_drop)


def _choose_output(args: argparse.Namespace, run: runs.RunFolder | None) -> Path:
    suffix = SUFFIXES[args.format]
    if args.output is not None:
        return check_output(args.output, (suffix,))
    if run is None:
        raise UserError(f"no output: name the file to write (-o model{suffix}), or the run instead of its checkpoint")
    name = f"{run.path.resolve().parent.name}{'-int8' if args.int8 else ''}{suffix}"  # beside the exact one
    return check_output(run.path / "export" / name)


def take_test_images(subject: "Subject", count: int | None = None) -> "CheckImages":
    """Take test images of the run's own data, all or so many of them.

    Raises:
        UserError: there is no run, or its data cannot be opened.
    """
    from cnnkit.cli.inference import load_test_images
    from cnnkit.export.subject import CheckImages, spread

    if subject.run is None:
        raise UserError("no images to check the file by: name the run (--run RUN), or image files (--images PATH)")
    try:
        data = load_test_images(subject.run, download=False)
    except UserError as error:
        raise UserError(f"{error}\nto check the file by other images, name them (--images PATH)") from None
    store, contents = data.store, getattr(data, "contents", None)
    files = [image.file for image in contents.images.parts["test"]] if contents is not None else []
    total = len(store.test_labels)
    if not total:
        raise UserError(f"{subject.run}: its data has no test images; name images to check the file by (--images PATH)")
    return CheckImages("test images", store.test_images, spread(total, count), store.test_labels, files)


def print_proof(output: Path, proof: "Proof") -> None:
    """Print what was found when the file was run."""
    plain, resized, of_files = proof.agreement, proof.resized, proof.from_files
    before = ", before int8" if proof.int8 else ""
    rows = {
        "file": f"{output} ({proof.bytes / 1e6:,.1f} MB)",
        "run in": proof.ran_in,
        "checked on": f"{plain.images:,} {proof.checked_on}",
        "largest difference": f"{plain.largest_difference:.1e} of a probability{before}",
        "other classes": f"{plain.differing_classes:,}{before}",
        "other sizes": f"{resized.images:,} {proof.resized_on}: largest difference "
        f"{resized.largest_difference:.1e}{before}",
        **_describe_files(of_files, before),
        **{f"accuracy of the {name}": _describe_accuracy(found) for name, found in proof.accuracy.items()},
        **_describe_cost(proof),
        "proof": f"{output}.json",
    }
    print_rows(rows)


def _describe_files(found: "Agreement | None", before: str) -> dict[str, str]:
    """What it changes that ``predict`` lets the decoder shrink large JPEG files."""
    if found is None:
        return {}
    return {"as predict reads them": f"largest difference {found.largest_difference:.1e}{before}"}


def _describe_cost(proof: "Proof") -> dict[str, str]:
    """What int8 costs."""
    cost = proof.int8
    if cost is None:
        return {}
    images = f"{cost.images:,} {proof.checked_on}"
    return {
        "int8 calibrated on": f"{cost.calibration_images:,} validation images",
        **({} if cost.drop is None else {"int8 costs": f"{cost.drop:.2f} points [{cost.low:.2f}, {cost.high:.2f}]"}),
        "int8 changes": f"the class of {cost.differing_classes:,} of {images}, a probability by up to "
        f"{cost.largest_difference:.2f}",
    }


def _describe_accuracy(found: dict[str, Any]) -> str:
    return f"{found['accuracy']:.2%} [{found['low']:.2%}, {found['high']:.2%}]"
