"""Initial weights for nets without shortcuts: He et al. 2015, arXiv 1502.01852."""

from torch import nn


def init_he(*modules: nn.Module) -> None:
    """Draw the weights of all convolutions and linear layers from N(0, 2 / fan-in), and set their biases to zero.

    It keeps the mean square of the activations from layer to layer where a ReLU follows. torch's own default shrinks it
    to a sixth at every layer, which a deep net without normalization does not survive.

    Args:
        modules: looked through with all their children.
    """
    for layer in (layer for module in modules for layer in module.modules()):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
