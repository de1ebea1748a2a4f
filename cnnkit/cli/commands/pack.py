"""``pack``: a trained model for others, with its card, a script and a check that it works without cnnkit."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from cnnkit import runs
from cnnkit.allocator import import_quickly
from cnnkit.cli.cores import use_free_cores
from cnnkit.cli.outputs import check_writable
from cnnkit.cli.parsing.options import Options, add_json, positive
from cnnkit.errors import UserError
from cnnkit.reporting.terminal import print_rows

DESCRIPTION = """\
Pack the best checkpoint of a run for others, as a folder or a zip file: model files with a proof on the test images,
class names, a model card (README.md), a script that predicts image files without cnnkit, the configuration without
places of this machine, synthetic images with the expected probabilities, and the hashes of all files.

A pack that does not work in an environment without cnnkit is refused. Nothing is scored: a run that was not tested gets
a card that says so."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("pack", DESCRIPTION)
    options.add_argument("run", metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument(
        *("-o", "--output"), metavar="PATH", help="a folder, or a file.zip; pack.zip in the run folder if not given"
    )
    options.add_argument(
        "--formats", default="onnx", metavar="KINDS", help="of model files: onnx (default), torch, safetensors; a,b"
    )
    options.add_argument(
        "--license", metavar="NAME", help="of the model, such as mit or cc-by-4.0 (not stated if not given)"
    )
    options.add_argument("--license_file", metavar="FILE", help="the text of the license, which the pack will contain")
    count = "compare each model file with the net on so many test images, evenly spaced (default: all)"
    options.add_argument("--check_images", type=positive, metavar="N", help=count)
    images = "compare on image files instead, if the run's data are gone"
    options.add_argument("--images", nargs="+", action="extend", default=[], metavar="PATH", help=images)
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Make the pack, print what it holds and what its check has said."""
    for name in ("license", "output", "license_file"):
        if getattr(args, name) is not None and not getattr(args, name).strip():
            raise UserError(f"{name}: is empty; give a value or leave it out")
    run = runs.choose_finished(args.run)
    output = Path(args.output or run.path / "pack.zip")
    with import_quickly():
        from cnnkit.cli.commands.export import take_test_images
        from cnnkit.cli.image_files import list_images
        from cnnkit.export.pack.contents import read_license
        from cnnkit.export.pack.making import Contents, pack_run
        from cnnkit.export.pack.places import check_place, is_zip
        from cnnkit.export.subject import open_subject, take_files

    text = read_license(Path(args.license_file)) if args.license_file else None
    contents = Contents([kind.strip() for kind in args.formats.split(",")], args.license, text)
    check_place(output)
    check_writable(output if is_zip(output) else output.with_name(f".{output.name}"))
    use_free_cores()
    found, subject = list_images(args.images), open_subject(run)
    count = args.check_images
    images = take_files(found, subject.data, count) if found else take_test_images(subject, count)
    made = pack_run(subject, images, output, contents)
    if args.json:
        print(json.dumps({**asdict(made), "path": str(made.path)}, indent=2))
        return 0
    rows = {"pack": str(made.path), "size": f"{sum(made.files.values()) / 1e6:.1f} MB in {len(made.files)} files"}
    rows |= {f"check of {name}": said for name, said in made.checks.items()}
    if made.left_out:
        rows["left out of config.yaml"] = ", ".join(made.left_out)
    if made.untested:
        rows["no scores of test images"] = f"{made.untested} Its card says so; test before packing."
    if args.license is None:
        rows["license of the model"] = "not stated (--license)"
    print_rows(rows)
    return 0
