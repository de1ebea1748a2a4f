"""Peer: what torchvision's reference training of classification does: transforms, DataLoader, a plain loop."""

import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torchvision.transforms import v2

from benchmarks.peers.plain import PictureDataset, accuracy, make_net
from benchmarks.peers.watch import Watch


def train(watch: Watch) -> None:
    """Float32: the reference's mixed precision is CUDA's float16 alone. Loss and accuracy are read in every step."""
    job = watch.job
    net = make_net()
    to_float = v2.ToDtype(torch.float32, scale=True)
    transform = v2.Compose([v2.PILToTensor(), to_float, v2.Normalize((job.mean,), (job.std,)), v2.ToPureTensor()])
    loaders = {}
    for part, sampler in (("train", RandomSampler), ("val", SequentialSampler)):
        data = PictureDataset(job.folder, part, transform)
        loaders[part] = DataLoader(data, job.batch, sampler=sampler(data), num_workers=job.workers, pin_memory=False)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(job.max_epochs):
        watch.begin_epoch()
        seen = 0.0
        for images, labels in loaders["train"]:
            logits = net(images)
            loss = criterion(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += loss.item() + float((logits.argmax(1) == labels).float().mean())
            watch.step(len(labels))
        watch.end_epoch()
        scheduler.step()
        share = accuracy(net, loaders["val"])
        print(epoch, seen, share)
        if watch.validated(share):
            break
