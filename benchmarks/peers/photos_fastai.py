"""Photos with fastai: what its tutorial for vision does, without pretrained weights."""

import fastai.callback.schedule  # noqa: F401  # gives a Learner its fit_one_cycle
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from torchvision.models import resnet18

from benchmarks.peers.fastai_script import FastaiWatch
from benchmarks.peers.watch import Watch

SIZE = 128


def train(watch: Watch) -> None:
    """One cycle at fastai's default rate; float32, as its mixed precision is for GPUs."""
    job = watch.job
    set_seed(job.seed)
    loaders = ImageDataLoaders.from_folder(
        f"{job.folder}/photos", valid="val", item_tfms=Resize(SIZE), bs=job.batch, num_workers=job.workers
    )
    learner = vision_learner(loaders, resnet18, pretrained=False, metrics=accuracy, path=job.folder)
    learner.fit_one_cycle(job.max_epochs, cbs=[FastaiWatch(watch)])
