"""The module that is exported: pixels of any size in, class probabilities out."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from cnnkit.errors import UserError
from cnnkit.export.resize import resize_images
from cnnkit.inference.preprocessing import Preprocessing

if TYPE_CHECKING:
    from cnnkit.inference.trained_net import Classifier


class DeployedNet(nn.Module):
    """A trained net with all that a prediction does around it.

    Args:
        classifier: a trained net, or a task, in evaluation mode; its views, adjustment and temperature are included.
        data: the preparation of its images.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, classifier: "Classifier", data: Preprocessing) -> None:
        super().__init__()
        self.classifier, self.size, self.resize = classifier, data.size, data.resize
        self.in_channels = data.in_channels
        mean, std = (torch.tensor(row, dtype=torch.float64).view(-1, 1, 1) for row in (data.mean, data.std))
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())

    def forward(self, images: Tensor) -> Tensor:
        """Map images, uint8 (B, C, H, W) of any size, to probabilities (B, K), float32."""
        pixels = resize_images(images, self.size, self.resize)
        prepared = torch.addcmul(self.shift, pixels, self.scale)
        return self.classifier.predict_step(prepared, 0).float()


def predicts_as_net(classifier: "Classifier") -> bool:
    """Whether a prediction is that of the net, with what `TrainedNet` does before and after it."""
    from cnnkit.inference.trained_net import TrainedNet

    if isinstance(classifier, TrainedNet):
        return True
    from cnnkit.tasks import ClassificationTask  # imports Lightning, as a task has already

    kind = type(classifier)
    methods = ("predict_step", "forward", "__call__")
    return all(getattr(kind, name) is getattr(ClassificationTask, name) for name in methods)


def trace(net: DeployedNet) -> ExportedProgram:
    """Export a net as a graph that takes any number of images of any size.

    What the graph does not use, such as heads that serve training alone, is left out.

    Raises:
        UserError: the net, or a ``predict_step`` of the task's own, cannot be exported.
    """
    program = _trace(net)
    if unused := _find_unused(program):
        net = copy.deepcopy(net)
        for name in unused:
            parent, _, last = name.rpartition(".")
            setattr(net.get_submodule(parent), last, None)
        program = _trace(net)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    return program


def _trace(net: DeployedNet) -> ExportedProgram:
    height, width = net.size
    # Two images of another size, for sizes 0, 1 and the net's own would be taken for constants.
    images = torch.zeros(2, net.in_channels, height + 3, width + 5, dtype=torch.uint8)
    sizes = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(net, (images,), dynamic_shapes=(sizes,))
    except Exception as error:  # torch raises many kinds
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        name = " of ".join(dict.fromkeys(type(part).__name__ for part in (net.classifier.net, net.classifier)))
        reason = " ".join(lines[0].split())[:160].rstrip(".;")
        remedy = "`cnnkit export --format safetensors` holds the weights instead"
        if not predicts_as_net(net.classifier):  # then weights are not enough
            remedy = "compute with tensors alone, in the same way for all images"
        raise UserError(
            f"{name.removesuffix(' of TrainedNet')} cannot be exported as a graph, for its path depends on more than "
            f"the images' sizes: {reason};\n{remedy}"
        ) from error


def _find_unused(program: ExportedProgram) -> list[str]:
    """Names of the parameters and buffers that no operation of the graph takes."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    holders = {node.name: node for node in program.graph.nodes if node.op == "placeholder" and node.name in names}
    tensors = program.state_dict | program.constants
    used = {id(tensors[names[key]]) for key, node in holders.items() if node.users}
    return [names[key] for key, node in holders.items() if not node.users and id(tensors[names[key]]) not in used]


@contextmanager
def quiet() -> Iterator[None]:
    """Let the exporters print nothing: an error is raised, and the check at the end sees everything else."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        nowhere = io.StringIO()
        with warnings.catch_warnings(action="ignore"), redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
