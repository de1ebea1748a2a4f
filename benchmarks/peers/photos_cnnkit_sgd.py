"""Photos with cnnkit's card, but for the optimizer: timm's SGD, for speeds that compare everything else."""

from benchmarks.peers.photos_cnnkit import fit
from benchmarks.peers.watch import Watch

SGD = ("--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.05", "--model.optimizer.momentum=0.9")


def train(watch: Watch) -> None:
    """Fit."""
    fit(watch, *SGD)
