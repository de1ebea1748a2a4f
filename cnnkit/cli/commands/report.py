"""``report``: one HTML page about a run, readable offline."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit import run_folder
from cnnkit.cli.options import Options, add_json
from cnnkit.errors import UserError

if TYPE_CHECKING:
    from cnnkit.analysis.predictions import Predictions
    from cnnkit.cli.run_page import Found

DESCRIPTION = """\
Write one HTML page about a run: figures, curves, confusion matrix, accuracy of the classes, reliability, the images
that are most confidently wrong, first-layer kernels, layers, configuration, versions. It is one file, asks for nothing
from the network, and needs neither the run folder nor the data any more.

What it says of the test images is what `test` has kept. The test set is never scored here: for a run that was not
tested, the page shows the validation images and says so."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("report", DESCRIPTION)
    options.add_argument("--run", required=True, metavar="RUN", help="a run folder, or one above it: its newest run")
    options.add_argument("-o", "--output", metavar="FILE", help="the page; report.html in the run folder if not given")
    options.add_argument("--open", choices=("yes", "no"), default="no", help="show it in the browser (default: no)")
    add_json(options)
    return options


def run(asked: argparse.Namespace) -> int:
    """Write the page, print its main figures and where it is."""
    run = run_folder.find(asked.run)
    output = Path(asked.output) if asked.output else run.path / "report.html"
    if output.suffix.lower() not in (".html", ".htm") or output.is_dir():
        raise UserError(f"output is {output}: give a file that ends in .html")
    from cnnkit.cli.run_page import headline, write_page

    found = gather(run)
    try:
        run_folder.write_atomically(output, write_page(found))
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror}); name another -o FILE") from None
    for note in found.notes:
        print(note, file=sys.stderr)
    _print(found, headline(found), output, as_json=asked.json)
    if asked.open == "yes":
        import webbrowser

        if not webbrowser.open(output.resolve().as_uri()):
            print(f"no browser to be found; open {output} in one", file=sys.stderr)
    return 0


def gather(run: run_folder.RunFolder) -> "Found":
    """All that there is of a run, without scoring its test images and without downloading."""
    from cnnkit.analysis.metrics_table import read_metrics
    from cnnkit.analysis.predictions import load_predictions
    from cnnkit.cli.run_page import Found

    found = Found(run, run.manifest(), read_metrics(run.metrics))
    task = _load_net(found)
    data = _load_data(found)
    if run.predictions.exists():
        found.part, found.predictions = "test", load_predictions(run.predictions)
    elif task is not None and data is not None and len(data.val_indices):
        found.part, found.predictions = "validation", _predict(task, data)
    if found.predictions is not None:
        _check_names(found)
    if data is not None and found.part:
        store, chosen = data.store, data.val_indices
        images = store.test_images if found.part == "test" else store.train_images
        found.images = lambda at: images.index_select(0, at if found.part == "test" else chosen[at])
    return found


def _load_net(found: "Found") -> Any:
    """The trained task, or None."""
    from cnnkit.cli.rebuild import load_task

    try:
        task, checkpoint = load_task(found.run.best, [found.run.config])
    except UserError as error:
        found.notes.append(f"No net here, and so neither kernels nor layers: {error}.")
        return None
    found.net = task.net
    data = checkpoint.get("data") or {}
    if data:
        size = data["image_size"]
        height, width = (size, size) if isinstance(size, int) else size
        found.names, found.input_size = data["class_names"], (data["in_channels"], height, width)
    return task


def _load_data(found: "Found") -> Any:
    """The data module, set up, if it has the very images that the run was trained with; else None."""
    from cnnkit.cli.build import build_data
    from cnnkit.data import ImageDataModule

    try:
        data = build_data(found.run)
        if not isinstance(data, ImageDataModule):
            found.notes.append(f"No images here: {type(data).__name__} is no ImageDataModule.")
            return None
        data.mirror = data.mirror or str(data.data_dir)  # where there is a mirror, nothing is downloaded
        data.setup()
    except UserError as error:
        found.notes.append(f"No images here, as the data set cannot be opened: {error}.")
        return None
    trained, here = found.manifest.get("data", {}), data.describe()
    if any(trained.get(key, here[key]) != here[key] for key in ("fingerprint", "split")):
        found.notes.append("No images here: the data set found is not the one that the run was trained with.")
        return None
    found.names = found.names or data.class_names
    return data


def _predict(task: Any, data: Any) -> "Predictions":
    """What the net says of the validation images."""
    import numpy as np
    import torch

    from cnnkit.analysis.predictions import Predictions

    print(f"predicting {len(data.val_indices):,} validation images", file=sys.stderr)
    task = task.to(torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu"))
    with torch.inference_mode():
        parts = [(task.predict_step(images.to(task.device), 0).cpu(), y) for images, y in data.plain_batches("val")]
    task.cpu()
    probabilities, labels = torch.cat([p for p, _ in parts]).numpy(), torch.cat([y for _, y in parts]).numpy()
    return Predictions(probabilities, probabilities.argmax(1), labels, np.arange(len(labels)))


def _check_names(found: "Found") -> None:
    """As many names as classes, whatever was found."""
    assert found.predictions is not None
    count = found.predictions.probabilities.shape[1]
    if len(found.names) != count:
        found.names = [f"class {k}" for k in range(count)]


def _print(found: "Found", figures: dict[str, str], output: Path, *, as_json: bool) -> None:
    if as_json:
        import json

        of_predictions = {} if found.predictions is None else {"accuracy": found.predictions.accuracy}
        of_predictions |= {} if found.calibration is None else {"calibration_error": float(found.calibration.error)}
        values = {"report": str(output), "test": found.tested or None, "best": found.manifest.get("best")}
        print(json.dumps({**values, "predictions_of": found.part or None, **of_predictions}, indent=2))
        return
    rows = {**figures, "report": str(output)}
    width = max(map(len, rows)) + 2
    print("\n".join(f"{name:{width}}{value}" for name, value in rows.items()))
