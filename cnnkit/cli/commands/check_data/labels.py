"""Images whose label a trained net finds improbable: candidates for wrong labels.

A net says this of images that it was not fitted to: those of test, as `test` has kept the predictions, and those of
validation. Of its training images it has learned the labels, wrong ones too (Zhang et al. 2017, arXiv 1611.03530).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from cnnkit.cli.commands.check_data.findings import Finding
from cnnkit.cli.commands.check_data.table import ImageTable
from cnnkit.cli.inference import move_to_accelerator
from cnnkit.data import ImageDataModule
from cnnkit.errors import UserError
from cnnkit.inference.task_loading import load_task
from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import load_predictions

_LEAST = 1e-7  # probability; float16 has none between 0 and 6e-8


def find_labels(run: RunFolder, data: ImageDataModule, table: ImageTable, most: int) -> list[Finding]:
    """Find the images of validation and test with the highest loss.

    Args:
        run: that was trained with these data.
        data: set up.
        table: its images.
        most: number of findings a part.

    Raises:
        UserError: the data are not those of the run, or the run has no net.
    """
    _refuse_other_data(run, data)
    found = []
    for part, probabilities, labels, names in _predict(run, data):
        loss = -np.log(np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), _LEAST, 1))
        places = {name: place for place, name in enumerate(table.names)}
        for row in np.argsort(-loss, kind="stable")[:most].tolist():
            predicted = int(probabilities[row].argmax())
            if predicted == labels[row]:
                continue
            share = float(probabilities[row, predicted])
            place = places.get(names[row])
            found.append(
                Finding(
                    "label",
                    part,
                    names[row],
                    str(table.class_names[labels[row]]),
                    other_label=str(table.class_names[predicted]),
                    loss=float(loss[row]),
                    note=f"predicted {table.class_names[predicted]} with {share:.1%}",
                    places=() if place is None else (place,),
                )
            )
    return found


def _predict(run: RunFolder, data: ImageDataModule) -> Iterator[tuple[str, np.ndarray, np.ndarray, list[str]]]:
    """Yield part, probabilities (N, K), labels (N,) and names of the images that have predictions."""
    if len(data.val_indices):
        task: Any = load_task(run.best, [run.config])[0]
        move_to_accelerator(task)
        with torch.inference_mode():
            parts = [(task.predict_step(x.to(task.device), 0).cpu(), y.cpu()) for x, y in data.plain_batches("val")]
        probabilities, labels = (torch.cat(values).numpy() for values in zip(*parts, strict=True))
        yield "val", probabilities, labels, _list_names(data, "val")
    if run.predictions.exists():
        kept = load_predictions(run.predictions)
        names = _list_names(data, "test")
        if len(names) == len(kept.index):
            labels = kept.labels.astype(np.int64)
            yield "test", kept.probabilities, labels, [names[place] for place in kept.index.tolist()]


def _list_names(data: ImageDataModule, part: str) -> list[str]:
    """The names that the table gives to the images of a part, in the part's order."""
    contents = getattr(data, "contents", None)
    if contents is not None:
        return [row.path for row in contents.split.rows if row.part == part]
    if part == "val":
        return [f"train/{place}" for place in data.val_indices.tolist()]
    assert data.store is not None
    return [f"test/{place}" for place in range(len(data.store.test_labels))]


def _refuse_other_data(run: RunFolder, data: ImageDataModule) -> None:
    trained, here = run.manifest().get("data", {}), data.describe()
    if any(trained.get(key, here[key]) != here[key] for key in ("fingerprint", "split")):
        raise UserError(f"{run.path}: the data found are not those that the run was trained with; restore them")
