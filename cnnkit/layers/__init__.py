"""Pieces of nets: plain ``nn.Module``, one concept a file."""

from cnnkit.layers.activation import ActivationName, get_activation, make_activation
from cnnkit.layers.aux_head import (
    AuxiliaryHead,
    AuxiliaryHeads,
    AuxiliaryOutput,
    build_heads,
    compile_once,
    forward_with_heads,
)
from cnnkit.layers.conv import ConvNormAct, Pointwise, TransposedConvNormAct, chain_output_size, init_he, make_conv
from cnnkit.layers.dropout import Dropout
from cnnkit.layers.inception import Inception
from cnnkit.layers.norm import LocalResponseNorm, NormName, make_norm
from cnnkit.layers.pool import (
    DilatedAvgPool2d,
    MinPool2d,
    PoolName,
    Subsample2d,
    SumPool2d,
    make_pool,
)
from cnnkit.layers.residual import (
    BasicBlock,
    Bottleneck,
    PreActBlock,
    ShortcutName,
    SqueezeExcite,
)

__all__ = [
    "ActivationName",
    "AuxiliaryHead",
    "AuxiliaryHeads",
    "AuxiliaryOutput",
    "BasicBlock",
    "Bottleneck",
    "ConvNormAct",
    "DilatedAvgPool2d",
    "Dropout",
    "Inception",
    "LocalResponseNorm",
    "MinPool2d",
    "NormName",
    "Pointwise",
    "PoolName",
    "PreActBlock",
    "ShortcutName",
    "SqueezeExcite",
    "Subsample2d",
    "SumPool2d",
    "TransposedConvNormAct",
    "build_heads",
    "chain_output_size",
    "compile_once",
    "forward_with_heads",
    "get_activation",
    "init_he",
    "make_activation",
    "make_conv",
    "make_norm",
    "make_pool",
]
