"""The predictions of a test, image by image."""

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from cnnkit.runs.predictions import Predictions
from cnnkit.stats.temperature import measure_loss


class KeepPredictions(Callback):
    """Collects the predictions of a test, from all ranks, in the order of the test set.

    It reads ``logits`` and ``labels`` from what the task's ``test_step`` returns, as that of `ClassificationTask` does;
    for a task that returns neither, ``kept`` stays None. With a temperature in the checkpoint, the probabilities are
    calibrated, and ``loss`` is their mean negative log-likelihood.
    """

    def __init__(self) -> None:
        self.kept: Predictions | None = None
        self.loss: float | None = None
        self._batches: list[tuple[torch.Tensor, torch.Tensor]] = []

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.kept, self.loss, self._batches = None, None, []

    def on_test_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any) -> None:
        if isinstance(outputs, dict) and {"logits", "labels"} <= outputs.keys():
            self._batches.append((outputs["logits"].detach(), outputs["labels"]))

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        several = bool(getattr(pl_module, "multilabel", False))
        mine = [(logits.float().cpu(), labels.cpu()) for logits, labels in self._batches]
        self._batches = []
        ranks = [mine]
        if trainer.world_size > 1:
            ranks = [[]] * trainer.world_size
            torch.distributed.all_gather_object(ranks, mine)
        parts = [part for batch in zip(*ranks, strict=True) for part in batch]
        if not parts:
            return
        logits, labels = (torch.cat([part[k] for part in parts]) for k in (0, 1))
        temperature = None if several else _find_temperature(pl_module)
        probabilities = logits.sigmoid() if several else (logits / (temperature or 1.0)).softmax(1)
        identities = getattr(getattr(trainer, "datamodule", None), "test_identities", None)
        contents = [int(content, 16) for content in identities()][: len(labels)] if identities else None
        thresholds = getattr(pl_module, "thresholds", torch.zeros(0)).cpu()
        predicted = (probabilities >= thresholds) if several else logits.argmax(1)
        before = None
        if temperature is not None:
            before = logits.softmax(1).gather(1, predicted[:, None])[:, 0].numpy()
            self.loss = float(measure_loss(logits.numpy(), labels.numpy(), temperature).mean())
        self.kept = Predictions(
            (probabilities if several else probabilities.half()).numpy(),
            predicted.to(torch.int16).numpy(),
            labels.to(torch.int16).numpy(),
            torch.arange(len(labels), dtype=torch.int32).numpy(),
            None if contents is None else np.array(contents, dtype=np.uint64),
            before,
        )


def _find_temperature(module: Any) -> float | None:
    """The temperature of a checkpoint for the image alone, which is what `test_step` scores."""
    correction = getattr(module, "correction", None)
    return None if correction is None else correction.find_temperature("none")
