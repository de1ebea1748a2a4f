"""Whole nets: plain ``nn.Module``; ``forward`` maps images (B, C, H, W) to logits (B, K).

The first arguments of every net are ``in_channels, num_classes, image_size``; they come from the data module.
"""

from cnnkit.models.alexnet import AlexNet
from cnnkit.models.cnn import CNN
from cnnkit.models.googlenet import GoogLeNet
from cnnkit.models.lenet import LeNet5
from cnnkit.models.mlp import MLP
from cnnkit.models.nin import NetworkInNetwork
from cnnkit.models.resnet import ResNet
from cnnkit.models.speed_net import SpeedNet
from cnnkit.models.timm_net import TimmNet
from cnnkit.models.vgg import VGG

__all__ = ["CNN", "MLP", "VGG", "AlexNet", "GoogLeNet", "LeNet5", "NetworkInNetwork", "ResNet", "SpeedNet", "TimmNet"]
