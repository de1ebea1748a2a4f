"""Peer: fastai; images from arrays through its Datasets, a Learner, a constant learning rate."""

from functools import partial

import numpy as np
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import Datasets
from fastai.data.transforms import Categorize, IntToFloatTensor, Normalize, ToTensor
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.optimizer import Adam
from fastai.vision.core import PILImageBW
from torch import nn

from benchmarks.peers.plain import load, make_net
from benchmarks.peers.watch import Watch


class FastaiWatch(Callback):
    """The clock; after the recorder, which has the accuracy."""

    order = 90

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def before_train(self) -> None:
        """Start."""
        self.watch.begin_epoch()

    def after_batch(self) -> None:
        """Count."""
        if self.training:
            self.watch.step(len(self.yb[0]))

    def after_train(self) -> None:
        """End."""
        self.watch.end_epoch()

    def after_epoch(self) -> None:
        """Stop after the time."""
        if self.watch.validated(float(self.recorder.values[-1][-1])):
            raise CancelFitException


def train(watch: Watch) -> None:
    """Fit until the clock says stop; float32, as fastai's mixed precision is for GPUs."""
    job = watch.job
    parts = [load(job.folder, part) for part in ("train", "val")]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    count = len(parts[0][1])
    data = Datasets(
        list(range(len(labels))),
        [[images.__getitem__, PILImageBW.create], [labels.__getitem__, Categorize(vocab=list(range(10)))]],
        splits=[list(range(count)), list(range(count, len(labels)))],
    )
    normalize = Normalize.from_stats((job.mean,), (job.std,), cuda=False)
    loaders = data.dataloaders(
        bs=job.batch, after_item=[ToTensor()], after_batch=[IntToFloatTensor(), normalize], num_workers=job.workers
    )
    # Adam as torch's: fastai's own defaults differ in sqr_mom, eps and weight decay.
    adam = partial(Adam, sqr_mom=0.999, eps=1e-8, wd=0.0)
    learner = Learner(loaders, make_net(), nn.CrossEntropyLoss(), adam, metrics=accuracy, path=job.folder)
    learner.fit(job.max_epochs, 1e-3, cbs=[FastaiWatch(watch)])
