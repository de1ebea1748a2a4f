"""The weights that a report shows of a net's first layer."""

import torch

from cnnkit import CNN, MLP
from cnnkit.cli.commands.report.page import first_kernels


def test_the_first_layer_is_a_convolution_or_a_dense_layer_that_reads_pixels() -> None:
    convolution, dense = CNN(3, 10, 32, channels=[8]), MLP(3, 10, (8, 6))
    kernels, weights = first_kernels(convolution, (3, 32, 32)), first_kernels(dense, (3, 8, 6))
    assert kernels is not None
    assert weights is not None
    assert kernels.shape[:2] == (8, 3)
    assert torch.equal(weights.flatten(1), next(dense.parameters()).detach())
    assert weights.shape[1:] == (3, 8, 6)
    assert first_kernels(dense, (1, 9, 9)) is None
    assert first_kernels(torch.nn.Flatten(), (3, 8, 6)) is None
