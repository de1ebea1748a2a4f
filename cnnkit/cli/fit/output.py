"""Prints what a command has done, and writes predictions.csv."""

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnkit.callbacks.used_images import count_used_images
from cnnkit.cli.outputs import choose_classes, describe_correction, describe_views, describe_ways
from cnnkit.files import replacing
from cnnkit.metric_names import MONITOR, describe_best_score, format_metric
from cnnkit.reporting.terminal import print_rows
from cnnkit.runs import RunFolder
from cnnkit.runs.records import describe_stop
from cnnkit.shell import quote_command


def print_fit_start(run: RunFolder, model: Any, datamodule: Any, precision: str, trainer: Any) -> None:
    """Print the start of a fit: run folder, net, data, precision."""
    overfit = getattr(trainer, "overfit_batches", 0)
    net = getattr(model, "net", model)
    rows = {"run": str(run), "net": f"{type(net).__name__}, {sum(p.numel() for p in net.parameters()):,} parameters"}
    if hasattr(datamodule, "describe"):
        facts = datamodule.describe()
        counts = ", ".join(f"{facts[f'{part}_images']:,} {part}" for part in ("train", "val", "test"))
        rows["data"] = f"{facts['name']}: {counts}"
        used = {} if overfit else count_used_images(trainer, datamodule, facts)
        for part, images in (("train", "training images an epoch"), ("val", "validation images")):
            if f"split_{part}_images" in used:
                rows[f"limit_{part}_batches"] = f"{used[f'{part}_images']:,} of the {images}"
    if overfit and hasattr(datamodule, "overfits"):
        part = f"{overfit:.2%} of the" if isinstance(overfit, float) else f"{overfit}"
        rows["overfit_batches"] = f"the same {part} training batches every epoch, not augmented; validates on them"
    print_rows({**rows, "precision": precision})


def print_fit_report(run: RunFolder, seconds: float) -> None:
    """Print the end of a fit: best validation score, time, rate, checkpoint, and what to type next."""
    manifest = run.manifest_if_readable()
    best, last = manifest.get("best", {}), manifest.get("last", {})
    rows = {}
    monitor = manifest.get("monitor", {}).get("metric", MONITOR)
    title = describe_best_score(monitor, manifest.get("monitor", {}).get("mode"))
    if monitor in best:
        rows[title] = f"{format_metric(monitor, best[monitor])} in epoch {best.get('epoch', '?')}"
        others = {n: v for n, v in best.items() if n.startswith("val/") and n != monitor and "_class/" not in n}
        rows["scores of that epoch"] = ", ".join(f"{n} {format_metric(n, v)}" for n, v in others.items())
    elif any(name.startswith("val/") for name in last) and not manifest.get("monitor"):
        rows["last validation"] = ", ".join(f"{n} {format_metric(n, v)}" for n, v in last.items() if n[:4] == "val/")
    elif any(name.startswith("val/") for name in last):
        rows[title] = "none: no validation gave a finite number"
    elif "train/acc" in last:
        rows["training accuracy"] = f"{last['train/acc']:.2%} (nothing was validated)"
    if stop := manifest.get("stopped_early"):
        rows["stopped early"] = f"{describe_stop(stop)}, after epoch {stop['epoch']} of {stop['of_epochs'] or '-'}"
    times = manifest.get("times", {})
    rows["time"] = f"{times.get('train_seconds', 0):.1f} s of training, {seconds:.1f} s for this command"
    if "images_per_second" in manifest:
        rows["images per second"] = f"{manifest['images_per_second']:,.0f} ({manifest['precision']['value']})"
    if run.locate_best().exists():
        rows["checkpoint"] = str(run.best)
        if manifest.get("data", {}).get("test_images") != 0:
            rows["test it"] = quote_command("test", "--run", run)
    else:
        rows["checkpoint"] = "none was saved"
    rows["look at it"] = shlex.join(["tensorboard", "--logdir", str(run.path.parent)])
    print_rows(rows)


def print_trial(trainer: Any, what: str, seconds: float) -> None:
    """Print the end of a fit that writes nothing."""
    scores = {key: format_metric(key, float(value)) for key, value in trainer.callback_metrics.items()}
    steps, epochs = trainer.global_step, trainer.current_epoch
    rows = {what: f"{steps} step{'s' * (steps != 1)} in {epochs} epoch{'s' * (epochs != 1)}, no error", **scores}
    print_rows({**rows, "time": f"{seconds:.1f} s in all", "run": "none; nothing was saved"})


def print_scores(command: str, checkpoint: Path, scores: dict[str, float], task: Any = None) -> None:
    """Print loss and metrics, of which checkpoint they are, and how logits were averaged and corrected."""
    rows = {key: format_metric(key, value) for key, value in scores.items()}
    rows |= describe_views(getattr(task, "tta", "none"))
    corrected = describe_correction(getattr(task, "correction", None), "none")
    rows |= {name: text for name, text in corrected.items() if name != "temperature" or command == "test"}
    print_rows({**rows, "checkpoint": str(checkpoint)})


def write_predictions(
    run: RunFolder | None, batches: Sequence[Any], datamodule: Any, task: Any, thresholds: Any = None
) -> None:
    """Write predictions.csv: the image's place in its data set, its class, and that class's probability.

    With thresholds, one for each class: the classes that an image has, and the probability of each class. Columns
    ``tta`` and ``temperature`` follow where views were averaged or the checkpoint is calibrated.
    """
    path = (run.path if run else Path()) / "predictions.csv"
    names = datamodule.class_names
    with replacing(path) as file:
        writer = csv.writer(file)
        tta, correction = getattr(task, "tta", "none"), getattr(task, "correction", None)
        columns = describe_ways(correction, tta)
        views = list(columns.values())
        several = [f"probability_{name}" for name in names] if thresholds is not None else ["probability"]
        found = "class" if thresholds is None else "classes"
        writer.writerow(["index", found, *several, *columns])
        number = 0
        for probabilities in batches:
            if thresholds is not None:
                for chosen, row in zip(choose_classes(probabilities, names, thresholds), probabilities, strict=True):
                    writer.writerow([number, chosen, *(f"{p:.4f}" for p in row.tolist()), *views])
                    number += 1
                continue
            best, label = probabilities.max(dim=1)
            for p, k in zip(best.tolist(), label.tolist(), strict=True):
                writer.writerow([number, names[k], f"{p:.4f}", *views])
                number += 1
    ways = {**describe_views(tta), **describe_correction(correction, tta)}
    print_rows({"images": f"{number:,}", **ways, "predictions": str(path)})


def flatten_config(value: Any, prefix: str = "") -> Any:
    """Yield ``(dotted name, plain value)`` pairs of a nested configuration, class names short."""
    if isinstance(value, dict):
        for key, part in value.items():
            name = {"init_args": prefix, "class_path": prefix}.get(key, f"{prefix}.{key}" if prefix else key)
            yield from flatten_config(part.rsplit(".", 1)[-1] if key == "class_path" else part, name)
    elif isinstance(value, list):
        names = [str(v.get("class_path", v)).rsplit(".", 1)[-1] if isinstance(v, dict) else str(v) for v in value]
        yield prefix, ", ".join(names)
    elif value is not None:
        yield prefix, value
