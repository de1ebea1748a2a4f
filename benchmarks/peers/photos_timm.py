"""Photos with timm: the defaults of its training script, on its public functions; the wheel has no train.py."""

import contextlib

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter
from torch.nn import functional as F

from benchmarks.peers.plain import accuracy
from benchmarks.peers.watch import Watch

SIZE = 128


def train(watch: Watch) -> None:
    """RandomResizedCrop, flips, color jitter of 0.4; SGD at 0.05 with a cosine; with bf16 also channels_last."""
    job = watch.job
    torch.manual_seed(job.seed)
    net = timm.create_model("resnet18", num_classes=10)
    layout = torch.channels_last if job.bf16 else torch.contiguous_format
    net = net.to(memory_format=layout)
    loaders = {
        part: create_loader(
            create_dataset("", root=f"{job.folder}/photos/{part}", is_training=part == "train"),
            input_size=(3, SIZE, SIZE),
            batch_size=job.batch,
            is_training=part == "train",
            use_prefetcher=False,
            color_jitter=0.4,
            num_workers=job.workers,
            device=torch.device("cpu"),
        )
        for part in ("train", "val")
    }
    optimizer = create_optimizer_v2(net, opt="sgd", lr=0.05, weight_decay=2e-5, momentum=0.9)
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=job.max_epochs)
    autocast = torch.autocast("cpu", torch.bfloat16) if job.bf16 else contextlib.nullcontext()
    for epoch in range(job.max_epochs):
        watch.begin_epoch()
        losses = AverageMeter()
        for images, labels in loaders["train"]:
            with autocast:
                loss = F.cross_entropy(net(images.contiguous(memory_format=layout)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), len(labels))
            watch.step(len(labels))
        watch.end_epoch()
        scheduler.step(epoch + 1)
        with autocast:
            watch.validated(accuracy(net, loaders["val"]))
