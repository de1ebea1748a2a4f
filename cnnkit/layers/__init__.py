"""Pieces of nets: plain ``nn.Module``, one concept a file."""

from cnnkit.layers.conv import (
    ActivationName,
    ConvNormAct,
    ImageSize,
    as_height_width,
    chain_output_size,
    make_activation,
)
from cnnkit.layers.norm import LocalResponseNorm, NormName, local_response_norm, make_norm
from cnnkit.layers.pool import (
    MinPool2d,
    PoolName,
    Subsample2d,
    SumPool2d,
    make_pool,
    min_pool2d,
    subsample2d,
    sum_pool2d,
)

__all__ = [
    "ActivationName",
    "ConvNormAct",
    "ImageSize",
    "LocalResponseNorm",
    "MinPool2d",
    "NormName",
    "PoolName",
    "Subsample2d",
    "SumPool2d",
    "as_height_width",
    "chain_output_size",
    "local_response_norm",
    "make_activation",
    "make_norm",
    "make_pool",
    "min_pool2d",
    "subsample2d",
    "sum_pool2d",
]
