"""Whole nets: plain ``nn.Module``, ``forward(images (B, C, H, W)) -> logits (B, K)``.

Every net's arguments start ``(in_channels, num_classes, image_size)``, which the data module fills in.
"""

from cnnkit.models.cnn import CNN
from cnnkit.models.lenet import LeNet5
from cnnkit.models.mlp import MLP
from cnnkit.models.resnet import ResNet

__all__ = ["CNN", "MLP", "LeNet5", "ResNet"]
