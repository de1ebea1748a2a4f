"""An ONNX file whose layers compute with integers of 8 bits: static quantization, calibrated on images.

Jacob et al. 2018, arXiv 1712.05877: weights become int8 with a scale for each output channel, activations uint8 with a
scale and a zero for each tensor; the scales come from images. onnxruntime does the arithmetic. Resize, normalization,
softmax and temperature stay as they are. An activation's range is all that the images gave: onnxruntime's histograms
(entropy, percentile) cost more time and memory, and gained nothing, see docs/export.md.

Weights get 7 bits: with 8, processors without VNNI instructions add up to more than 16 bits and clip the sum in
silence, so a file that was checked here would predict otherwise there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cnnkit.errors import UserError
from cnnkit.export.deployed import quiet
from cnnkit.export.description import KEY, read_description
from cnnkit.export.extra import need
from cnnkit.export.onnx_file import INPUT
from cnnkit.export.proof import Int8Cost, find_right
from cnnkit.stats.intervals import bootstrap_difference

CALIBRATION_IMAGES = 512
MAX_DROP = 1.0  # points of accuracy
_BATCH = 32
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantize(file: Path, images: np.ndarray, output: Path) -> None:
    """Write an int8 file of an ONNX file that `cnnkit.export.onnx_file.write_onnx` has written.

    Args:
        file: float32.
        images: to calibrate on, uint8 (N, C, H, W); never test images.
        output: the int8 file.

    Raises:
        UserError: there is no image, onnxruntime is not installed, or no layer of the net can be quantized.
    """
    if not len(images):
        raise UserError("there is no image to calibrate on: int8 needs validation images")
    onnx, tool = need("onnx"), need("onnxruntime.quantization")
    description = read_description(_read_properties(onnx.load(file)).get(KEY), file)
    with TemporaryDirectory(dir=output.parent, prefix=".int8-") as folder, quiet():
        folded = Path(folder, "folded.onnx")
        # Folds constants and batch norms into weights.
        tool.quant_pre_process(file, folded, skip_symbolic_shape=True)
        nodes = choose_nodes(onnx.load(folded))
        if not nodes:
            raise UserError(f"{file}: has no convolution or linear layer that can be quantized; leave out --int8")
        tool.quantize_static(
            folded,
            output,
            _Batches(images),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
            nodes_to_quantize=nodes,
            calibrate_method=tool.CalibrationMethod.MinMax,
        )
    model = onnx.load(output)
    onnx.helper.set_model_props(model, {KEY: replace(description, precision="int8").to_json()})
    output.write_bytes(model.SerializeToString())


@dataclass(frozen=True)
class Int8:
    """How to make an int8 file.

    Args:
        images: to calibrate on, uint8 (N, C, H, W): validation images.
        max_drop: points of accuracy that it may lose.
    """

    images: np.ndarray
    max_drop: float = MAX_DROP


def measure_cost(
    net: np.ndarray, file: np.ndarray, labels: np.ndarray | None, thresholds: np.ndarray | None, plan: Int8
) -> Int8Cost:
    """Compare the probabilities of an int8 file (N, K) with those of its net, see `Int8Cost`."""
    if thresholds is None:
        differs = net.argmax(1) != file.argmax(1)
    else:
        differs = ((net >= thresholds) != (file >= thresholds)).any(1)
    drop = low = high = None
    if labels is not None:
        before, after = (find_right(each, labels, thresholds) for each in (net, file))
        ends = bootstrap_difference(before, after)
        drop, low, high = (100 * share for share in (float(before.mean()) - float(after.mean()), *ends))
    largest = float(np.nan_to_num(abs(net.astype(np.float64) - file).max(initial=0.0), nan=np.inf))
    return Int8Cost(len(net), int(differs.sum()), largest, drop, low, high, plan.max_drop, len(plan.images))


def refuse_cost(cost: Int8Cost, path: Path) -> None:
    """Refuse an int8 file that loses too much.

    Raises:
        UserError: it does.
    """
    if cost.holds:
        return
    lost = f"{cost.differing_classes:,} of {cost.images:,} images get another class"
    lost = lost if cost.drop is None else f"int8 costs {cost.drop:.2f} points of accuracy on {cost.images:,} images"
    raise UserError(
        f"{path}: not written, because {lost}, and {cost.max_drop:g} points are allowed;\n"
        "leave out --int8, or allow more (--max_drop POINTS)"
    )


class _Batches:
    """Calibration images as onnxruntime reads them: one batch a call, then None."""

    def __init__(self, images: np.ndarray) -> None:
        self.parts: Iterator[np.ndarray] = (images[k : k + _BATCH] for k in range(0, len(images), _BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self.parts, None)
        return None if part is None else {INPUT: np.ascontiguousarray(part)}


def _read_properties(model: Any) -> dict[str, str]:
    return {each.key: each.value for each in model.metadata_props}


def choose_nodes(model: Any) -> list[str]:
    """Names of the nodes to quantize: layers with weights, and what lies between the first and the last of them.

    What comes before every layer prepares the images; what comes after all of them makes probabilities of the logits.
    """
    constants = {each.name for each in model.graph.initializer}
    nodes = list(model.graph.node)
    weighted = [node.op_type in _WEIGHTED and len(node.input) > 1 and node.input[1] in constants for node in nodes]
    inside = _reach(nodes, weighted, forward=True) & _reach(nodes, weighted, forward=False)
    return [node.name for place, node in enumerate(nodes) if place in inside and node.name]


def _reach(nodes: Sequence[Any], weighted: Sequence[bool], forward: bool) -> set[int]:
    """Places of the nodes that get something from a weighted one, or give something to it; these included.

    ONNX lists nodes in the order of their computation.
    """
    reached: set[int] = set()
    names: set[str] = set()
    order = range(len(nodes)) if forward else range(len(nodes) - 1, -1, -1)
    for place in order:
        ends = (nodes[place].input, nodes[place].output)
        before, after = ends if forward else ends[::-1]
        if weighted[place] or names.intersection(before):
            reached.add(place)
            names.update(name for name in after if name)
    return reached
