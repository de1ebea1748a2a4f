"""``calibrate``: one temperature that makes the probabilities of a run believable, fitted on its validation images."""

import argparse
import json
from typing import TYPE_CHECKING, Any, get_args

from cnnkit import runs
from cnnkit.cli.parsing.options import Options, add_json
from cnnkit.errors import UserError
from cnnkit.reporting.terminal import print_rows
from cnnkit.shell import quote_command
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.data import ImageDataModule
    from cnnkit.tasks import ClassificationTask

DESCRIPTION = """\
Fit one temperature on the validation images of a run (Guo et al. 2017), and keep it in the checkpoint. From then on,
`predict`, `test`, `report`, `explain` and `cnnkit.load` give softmax(logits / temperature). Classes never change. The
test images are not touched: `cnnkit test` afterwards says what the temperature does on them.

A run without validation images, or with several labels an image, is refused. With --tta, the temperature is for
predictions that average over these views, and is kept beside the one for the image alone."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("calibrate", DESCRIPTION)
    options.add_argument("--run", required=True, metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("--ckpt_path", metavar="FILE", help="of the run: best (default), last, a file in checkpoints/")
    options.add_argument("--tta", choices=get_args(TTA), help="views of each image to average (default: the run's)")
    options.add_argument("--remove", action="store_true", help="take all temperatures out of the checkpoint again")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Fit, keep and print the temperature."""
    if args.remove and args.tta is not None:
        raise UserError(
            "--tta has no effect with --remove, which takes out the temperatures of all views: leave it out"
        )
    run = runs.choose_finished(args.run)
    path = runs.choose_checkpoint(run, args.ckpt_path)
    from cnnkit.callbacks.checkpoint import SafeCheckpointIO
    from cnnkit.cli.inference import load_validation_data
    from cnnkit.inference.task_loading import load_task

    with runs.hold_writer_lock(run.path, "calibrate"):
        task, checkpoint = load_task(path, [run.config], tta=args.tta)
        entry: dict[str, Any] = {}
        had = len(task.correction.temperatures)
        if args.remove:
            task.correction.temperatures = {}
        else:
            _refuse(task, str(path))
            entry = _fit(task, load_validation_data(run, "a temperature is fitted on them"))
            task.correction.temperatures[task.tta] = entry["temperature"]
        task.correction.save(checkpoint)
        SafeCheckpointIO().save_checkpoint(checkpoint, path)
        moment = {"checkpoint": path.name, "epoch": checkpoint["epoch"] + 1, "step": checkpoint["global_step"]}
        with run.edit_manifest() as manifest:
            _record(manifest, moment, entry)
    if args.json:
        print(json.dumps({**moment, **entry}, indent=2))
    elif args.remove:
        print_rows({"temperatures": f"{had} removed" if had else "there are none to remove", "checkpoint": str(path)})
    else:
        other = ["--ckpt_path", args.ckpt_path] if args.ckpt_path else []
        _print(entry, str(path), quote_command("test", "--run", run, *other))
    return 0


def _refuse(task: "ClassificationTask", path: str) -> None:
    from cnnkit.tasks import ClassificationTask

    if task.multilabel:
        raise UserError(
            f"{path}: has several labels an image; a temperature is for the softmax of one class an image, and the "
            "thresholds of several labels are chosen on the validation images already"
        )
    if task.correction.tau:
        raise UserError(
            f"{path}: model.posthoc_tau makes probabilities for classes of equal size, and the validation images, on "
            "which a temperature is fitted, have others; calibrate a run without it"
        )
    if type(task).predict_step is not ClassificationTask.predict_step:
        raise UserError(f"{path}: {type(task).__name__} has a predict_step of its own, which knows no temperature")


def _fit(task: "ClassificationTask", data: "ImageDataModule") -> dict[str, Any]:
    import torch

    from cnnkit.cli.inference import move_to_accelerator
    from cnnkit.stats.temperature import compare_temperatures, fit_temperature
    from cnnkit.tasks.tta import average_views

    move_to_accelerator(task)
    with torch.inference_mode():
        parts = [
            (average_views(task, images.to(task.device), task.tta).cpu(), labels.cpu())
            for images, labels in data.plain_batches("val")
        ]
    logits, labels = (torch.cat(each).numpy() for each in zip(*parts, strict=True))
    temperature = fit_temperature(logits, labels)
    return {
        "tta": task.tta,
        "temperature": temperature,
        "validation_images": len(labels),
        **compare_temperatures(logits, labels, temperature),
    }


def _record(manifest: dict[str, Any], moment: dict[str, Any], entry: dict[str, Any]) -> None:
    """Keep what was fitted for each checkpoint and way of predicting; without an entry, forget the checkpoint's."""
    key = ("checkpoint", "tta") if entry else ("checkpoint",)
    new = {**moment, **entry}
    kept = [each for each in manifest.get("calibration") or [] if any(each.get(k) != new.get(k) for k in key)]
    manifest["calibration"] = [*kept, *([new] if entry else [])] or None


def _print(entry: dict[str, Any], path: str, test: str) -> None:
    from cnnkit.stats.temperature import format_error

    before, after = entry["before"], entry["after"]
    views = {} if entry["tta"] == "none" else {"averaged over views": entry["tta"]}
    rows = {
        "temperature": f"{entry['temperature']:.4f}",
        **views,
        "fitted on": f"{entry['validation_images']:,} validation images",
        "loss on them": f"{before['loss']:.4f}, with the temperature {after['loss']:.4f}",
        "calibration error on them": f"{format_error(before)}, with the temperature {format_error(after)}",
        "checkpoint": path,
        "what it does on test images": test,
    }
    print_rows(rows)
