"""Photos as torchvision's reference training of classification takes them: its transforms, SGD at 0.1, a plain loop."""

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

from benchmarks.peers.plain import accuracy
from benchmarks.peers.watch import Watch

SIZE, RESIZED = 128, 146  # as 224 and 256 of the reference
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def train(watch: Watch) -> None:
    """Float32: the reference's mixed precision is CUDA's float16 alone. Loss and accuracy are read in every step."""
    job = watch.job
    torch.manual_seed(job.seed)
    net = resnet18(num_classes=10)
    end = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD), v2.ToPureTensor()]
    starts = {
        "train": [v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip()],
        "val": [v2.Resize(RESIZED, antialias=True), v2.CenterCrop(SIZE)],
    }
    loaders = {
        part: DataLoader(
            ImageFolder(f"{job.folder}/photos/{part}", v2.Compose(start + end)),
            job.batch,
            shuffle=part == "train",
            num_workers=job.workers,
        )
        for part, start in starts.items()
    }
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for _ in range(job.max_epochs):
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
        watch.validated(accuracy(net, loaders["val"]))
