"""A trainer that prints and saves nothing: two epochs of three batches."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


def trainer(*callbacks: Callback, **kwargs: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
    }
    short = {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    return L.Trainer(accelerator="cpu", callbacks=list(callbacks), **{**quiet, **short, **kwargs})
