"""Write a trained net as one ONNX file, and run such a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from cnnkit.errors import UserError
from cnnkit.export.deployed import quiet
from cnnkit.export.description import KEY, ModelDescription, read_description
from cnnkit.export.extra import need
from cnnkit.export.running import FileClassifier
from cnnkit.files import check_regular

INPUT, OUTPUT = "images", "probabilities"


def write_onnx(program: ExportedProgram, description: ModelDescription, path: Path) -> None:
    """Write the graph of a net; its input is ``images``, its output ``probabilities``.

    Args:
        program: from `cnnkit.export.deployed.trace`.
        description: goes into the file's metadata.
        path: of the file.

    Raises:
        UserError: onnx, onnxscript or onnxruntime is not installed, or ONNX has no such operation.
    """
    onnx = need("onnx")
    need("onnxscript")
    need("onnxruntime")
    try:
        with quiet():
            made: Any = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False, external_data=False
            )
            model = made.model_proto
    except Exception as error:  # the exporter raises many kinds
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise UserError(f"{path}: ONNX cannot express this net: {' '.join(lines[-1].split())[:200]}") from error
    _name_sizes(model)
    for graph in (part for whole in (model.graph, *model.functions) for part in _list_graphs(whole)):
        _forget_origin(graph)
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def open_onnx(path: Path) -> FileClassifier:
    """Open an ONNX file that `write_onnx` has written, to run it on the CPU.

    Raises:
        UserError: the file is missing, damaged, without a description, or keeps weights in other files; or onnx or
            onnxruntime is not installed.
    """
    onnx, runtime = need("onnx"), need("onnxruntime")
    check_regular(path)
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # protobuf's own
        raise UserError(f"{path}: damaged, or no ONNX file; export it again") from None
    found = {each.key: each.value for each in model.metadata_props}
    description = read_description(found.get(KEY), path)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _list_tensors(model)):
        raise UserError(f"{path}: keeps weights in other files, which are not read; export it again, as one file")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # an error is raised
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: onnxruntime cannot run it ({reason}); export it again") from None

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return FileClassifier(run, description, path)


def _name_sizes(model: Any) -> None:
    """Name the free sizes, which the exporter numbers, as users know them."""
    for value, names in ((model.graph.input[0], ("batch", "", "height", "width")), (model.graph.output[0], ("batch",))):
        for size, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if name:
                size.dim_param = name


def _forget_origin(graph: Any) -> None:
    """Take out where in the code of this machine each node comes from."""
    for part in (*graph.node, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""


def _list_graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _list_graphs(inner)


def _list_tensors(model: Any) -> Iterator[Any]:
    """All tensors of a model: weights, and those in attributes of nodes."""
    for graph in (part for whole in (model.graph, *model.functions) for part in _list_graphs(whole)):
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        yield from getattr(graph, "initializer", ())
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
