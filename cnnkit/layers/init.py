"""Initial weights for nets without shortcuts: He et al. 2015, arXiv 1502.01852."""

from torch import nn


def init_he(*modules: nn.Module) -> None:
    """Draw the weights of all convolutions and linear layers from N(0, 2 / fan-in), and set their biases to zero.

    With ReLU, the mean square of the activations then stays the same from layer to layer. torch's default reduces it to
    a sixth at every layer, so that a deep net without normalization does not train.

    Args:
        modules: modules, with all their children.
    """
    for layer in (layer for module in modules for layer in module.modules()):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
