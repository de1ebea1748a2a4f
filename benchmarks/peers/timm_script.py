"""Peer: timm. Its wheel has no train.py; this is the shortest script on its public functions that does the same."""

import contextlib

import torch
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter
from torch.nn import functional as F

from benchmarks.peers.plain import PictureDataset, accuracy, make_net
from benchmarks.peers.watch import Watch


def train(watch: Watch) -> None:
    """Loader without prefetcher (it needs a GPU), ``no_aug``, Adam, cosine schedule, autocast as with ``--amp``."""
    job = watch.job
    net = make_net()
    loaders = {
        part: create_loader(
            PictureDataset(job.folder, part),
            input_size=(1, 28, 28),
            batch_size=job.batch,
            is_training=part == "train",
            no_aug=True,
            use_prefetcher=False,
            mean=(job.mean,),
            std=(job.std,),
            num_workers=job.workers,
            crop_pct=1.0,
            device=torch.device("cpu"),
        )
        for part in ("train", "val")
    }
    optimizer = create_optimizer_v2(net, opt="adam", lr=1e-3, weight_decay=0.0)
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=job.max_epochs)
    autocast = torch.autocast("cpu", torch.bfloat16) if job.bf16 else contextlib.nullcontext()
    for epoch in range(job.max_epochs):
        watch.begin_epoch()
        losses = AverageMeter()
        for images, labels in loaders["train"]:
            with autocast:
                loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), len(labels))
            watch.step(len(labels))
        watch.end_epoch()
        scheduler.step(epoch + 1)
        with autocast:
            share = accuracy(net, loaders["val"])
        print(epoch, losses.avg, share)
        if watch.validated(share):
            break
