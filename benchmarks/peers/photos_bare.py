"""The most that a step allows: ResNet-18 on one batch that is normalized already, with SGD."""

import torch
from torch.nn import functional as F
from torchvision.models import resnet18

from benchmarks.peers.watch import Watch

SIZE, STEPS = 128, 50


def train(watch: Watch) -> None:
    """Train in bf16 and channels_last, read nothing, and score nothing."""
    job = watch.job
    torch.manual_seed(job.seed)
    net = resnet18(num_classes=10).to(memory_format=torch.channels_last)
    images = torch.randn(job.batch, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (job.batch,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(job.max_epochs):
        watch.begin_epoch()
        for _ in range(2 if job.quick else STEPS):
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(len(labels))
        watch.end_epoch()
        watch.validated(0.0)
