"""Peer: an ordinary Lightning script; torchvision's transforms image by image, the Trainer's defaults."""

import lightning as L
import torch
import torchvision.transforms as T
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.peers.lightning_watch import LightningWatch
from benchmarks.peers.plain import PictureDataset, make_net
from benchmarks.peers.watch import Watch


class Module(L.LightningModule):
    """The LightningModule of a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.net = make_net()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy."""
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Accuracy."""
        self.log("val/acc", (self.net(batch[0]).argmax(1) == batch[1]).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def train(watch: Watch) -> None:
    """Fit until the clock says stop."""
    job = watch.job
    LightningWatch.watch = watch
    transform = T.Compose([T.ToTensor(), T.Normalize((job.mean,), (job.std,))])
    loaders = [
        DataLoader(PictureDataset(job.folder, part, transform), job.batch, part == "train", num_workers=job.workers)
        for part in ("train", "val")
    ]
    trainer = L.Trainer(
        max_epochs=job.max_epochs,
        default_root_dir=job.folder,
        callbacks=[LightningWatch()],
        precision="bf16-mixed" if job.bf16 else "32-true",
    )
    trainer.fit(Module(), *loaders)
