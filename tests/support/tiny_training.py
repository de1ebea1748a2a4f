"""Three epochs of four steps on noise, for what is about the loop alone: a tenth of a second a fit."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cnnkit import CNN

STEPS, EPOCHS, BATCH = 4, 3, 4


class Groups(Callback):
    """Keeps what the optimizer's groups hold before every step, and the gradients that it sees."""

    def __init__(self, *names: str) -> None:
        self.names, self.seen = names or ("lr",), []  # type: ignore[var-annotated]

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        groups = trainer.optimizers[0].param_groups
        self.seen.append([group[name] for group in groups for name in self.names])

    @property
    def rates(self) -> list[float]:
        """The first group's rate before every step."""
        return [values[0] for values in self.seen]


def tiny_net(**kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    options = {"in_channels": 3, "num_classes": 3, "image_size": 10, "channels": (4, 6), "hidden_sizes": (), **kwargs}
    return CNN(**options)


def tiny_loader(batches: int = STEPS, seed: int = 0) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batches * BATCH, 3, 10, 10, generator=generator)
    labels = torch.randint(3, (batches * BATCH,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size=BATCH)


def tiny_trainer(*callbacks: Callback, **kwargs: Any) -> L.Trainer:
    quiet = dict.fromkeys(
        ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing", "use_distributed_sampler"),
        False,
    )
    options = {"accelerator": "cpu", "max_epochs": EPOCHS, "num_sanity_val_steps": 0, **quiet, **kwargs}
    return L.Trainer(callbacks=list(callbacks), **options)


def tiny_fit(task: L.LightningModule, *callbacks: Callback, ckpt_path: Any = None, **kwargs: Any) -> L.Trainer:
    trainer = tiny_trainer(*callbacks, **kwargs)
    trainer.fit(task, tiny_loader(), tiny_loader(1, seed=1), ckpt_path=ckpt_path, weights_only=True)
    return trainer
