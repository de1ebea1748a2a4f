"""Peer: Keras on its torch backend; ``fit`` on the arrays in memory. Its layers begin with Glorot's weights."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

from benchmarks.peers.plain import load
from benchmarks.peers.watch import Watch


class KerasWatch(keras.callbacks.Callback):
    """The clock."""

    def __init__(self, watch: Watch, images: int) -> None:
        super().__init__()
        self.watch, self.images, self.left = watch, images, images

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start."""
        self.watch.begin_epoch()
        self.left = self.images

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count; the validation comes before `on_epoch_end`, so the last batch ends the training."""
        size = min(self.watch.job.batch, self.left)
        self.left -= size
        self.watch.step(size)
        if not self.left:
            self.watch.end_epoch()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stop after the time."""
        self.model.stop_training = self.watch.validated(float((logs or {})["val_accuracy"]))


def train(watch: Watch) -> None:
    """Fit until the clock says stop."""
    job = watch.job
    if job.bf16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(layers.Conv2D(64, 3), layers.MaxPooling2D(2), layers.ReLU()),
            *(layers.Conv2D(128, 3), layers.MaxPooling2D(2), layers.ReLU()),
            *(layers.Flatten(), layers.Dense(200, "relu"), layers.Dense(10, dtype="float32")),
        ]
    )
    if net.count_params() != 716_706:
        raise RuntimeError(f"the net has {net.count_params()} parameters")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    arrays = {}
    for part in ("train", "val"):
        images, labels = load(job.folder, part)
        arrays[part] = ((images[..., None].astype(np.float32) / 255 - job.mean) / job.std, labels)
    callbacks = [KerasWatch(watch, len(arrays["train"][1]))]
    net.fit(*arrays["train"], job.batch, job.max_epochs, validation_data=arrays["val"], callbacks=callbacks)
