"""The cost of a net: parameters, multiply-accumulates and memory, layer by layer."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cnnkit.inspection.geometry import Field, compute_field
from cnnkit.inspection.trace import Call, trace

MEGABYTE = 1024**2
FLOAT = 4  # bytes


@dataclass(frozen=True)
class LayerRow:
    """One run of a layer, on one image."""

    name: str
    type: str
    shape: tuple[int, ...]
    """The shape of its output, without the batch."""
    parameters: int
    """Those that no row above has counted: a layer that runs twice has its parameters in one row."""
    frozen: int
    """The parameters that do not train."""
    macs: int
    field: Field | None
    """The receptive field of one output value; None if unknown."""
    module: nn.Module
    takes: tuple[int, ...] | None
    """The shape of its input, without the batch; None if its first argument is no tensor."""

    @property
    def megabytes(self) -> float:
        """The size of its output and of the output's gradient, in float32."""
        return 2 * FLOAT * math.prod(self.shape) / MEGABYTE


@dataclass(frozen=True)
class Complexity:
    """The rows of a net, and what all of it costs for one image.

    Multiply-accumulates are half the operations that `torch.utils.flop_counter` counts: those of convolutions, matrix
    products and attention. Megabytes (1024² bytes) are counted as torchsummary does, in float32: outputs of modules,
    once forward and once backward, without those of `nn.Sequential`, `nn.ModuleList` and `nn.Identity`. The outputs of
    whole blocks count too, in place of the sums outside modules.
    """

    rows: list[LayerRow]
    image: tuple[int, int, int]
    parameters: int
    frozen: int
    macs: int
    forward_backward_megabytes: float

    @property
    def input_megabytes(self) -> float:
        """The size of one image."""
        return FLOAT * math.prod(self.image) / MEGABYTE

    @property
    def parameter_megabytes(self) -> float:
        """The size of all parameters."""
        return FLOAT * self.parameters / MEGABYTE

    @property
    def megabytes(self) -> float:
        """The size of image, outputs and parameters together."""
        return self.input_megabytes + self.forward_backward_megabytes + self.parameter_megabytes

    @property
    def other_parameters(self) -> int:
        """Parameters in no row: of modules that this pass does not run, or outside layers."""
        return self.parameters - sum(row.parameters for row in self.rows)

    @property
    def other_macs(self) -> int:
        """Multiply-accumulates in no row: of operations outside layers."""
        return self.macs - sum(row.macs for row in self.rows)


def complexity(
    net: nn.Module,
    image: tuple[int, int, int] | None = None,
    depth: int | None = None,
    parts: Mapping[str, nn.Module] | None = None,
    run: Callable[[Tensor], Any] | None = None,
) -> Complexity:
    """Count the parameters, multiply-accumulates and memory of a net, which runs once on a black image.

    A row is a module without submodules, or one with parameters of its own, without the counts of its submodules' rows.
    An operation outside modules, such as the sum at the end of a residual block, has no row; its multiply-accumulates
    count in the total. Placeholders (`nn.Identity`) are left out.

    Args:
        image: the image's shape (C, H, W); by default what the net says, see `cnnkit.layers.probing.image_shape`.
        depth: show modules down to that depth, 1 for the net's direct parts, with all that is below them in one row.
        parts: as for `cnnkit.inspection.trace.trace`.
        run: as for `cnnkit.inspection.trace.trace`.

    Raises:
        UserError: the net does not take such an image.

    Example:
        >>> found = complexity(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU()), (1, 6, 6))
        >>> [(row.type, row.shape, row.parameters, row.macs) for row in found.rows]
        [('Conv2d', (8, 4, 4), 80, 1152), ('ReLU', (8, 4, 4), 0, 0)]
    """
    parts = parts or {"": net}
    seen = trace(net, image, parts, run)
    rows = _rows(seen.calls, depth)
    parameters = {id(p): p for part in parts.values() for p in part.parameters()}.values()
    outputs = [call for call in seen.calls if not isinstance(call.module, _UNCOUNTED) and call.depth]
    return Complexity(
        rows,
        seen.image,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if not p.requires_grad),
        seen.macs,
        2 * FLOAT * sum(math.prod(call.shape) for call in outputs) / MEGABYTE,
    )


_UNCOUNTED = (nn.Sequential, nn.ModuleList, nn.Identity)


def _rows(calls: Sequence[Call], depth: int | None) -> list[LayerRow]:
    rows: list[LayerRow] = []
    macs = [0] * len(calls)  # that the call's own row counts
    counted: set[int] = set()
    for index, call in enumerate(calls):
        if not _is_shown(call, depth):
            continue
        macs[index] = call.macs - sum(macs[index - call.inside : index])
        new = [p for p in call.module.parameters() if id(p) not in counted]
        counted.update(map(id, new))
        total, frozen = (sum(p.numel() for p in ps) for ps in (new, [p for p in new if not p.requires_grad]))
        field = compute_field(call.geometry) if call.geometry else None
        what = type(call.module).__name__
        rows.append(LayerRow(call.name, what, call.shape, total, frozen, macs[index], field, call.module, call.takes))
    return rows


def _is_shown(call: Call, depth: int | None) -> bool:
    if isinstance(call.module, nn.Identity):
        return False
    leaf = next(call.module.children(), None) is None or next(call.module.parameters(recurse=False), None) is not None
    return call.depth == depth or (leaf and (depth is None or call.depth < depth))
