"""`cnnkit export --int8`: what is quantized, what it costs, and that a file which loses too much is refused."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_runs import Cli

import cnnkit
from cnnkit.cli.commands import export
from cnnkit.cli.inference import load_validation_data
from cnnkit.errors import UserError
from cnnkit.export import exporting
from cnnkit.export.int8 import Int8, choose_nodes, measure_cost, refuse_cost
from cnnkit.export.subject import Subject
from cnnkit.runs import RunFolder


@pytest.fixture(autouse=True)
def written_before(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the float32 file that was written before in place of writing it."""

    def copy(kind: str, subject: Subject, file: Path) -> None:
        file.write_bytes((exported / "net.onnx").read_bytes())

    monkeypatch.setattr(exporting, "write", copy)


def test_an_int8_file_holds_integers_and_its_proof_says_what_it_costs(
    cli: Cli, trained_once: RunFolder, exported: Path
) -> None:
    words = ["--format", "onnx", "--check_images", "300", "--calibration_images", "40", "-o", "small.onnx"]
    ended = cli("export", "--run", str(trained_once.path), "--int8", *words)
    assert ended.code == 0, ended.err
    model = onnx.load("small.onnx")
    layers = [node for node in onnx.load(exported / "net.onnx").graph.node if node.op_type in ("Conv", "Gemm")]
    matrices = [
        each for each in model.graph.initializer if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]
    assert len(matrices) == len(layers) == 4
    # By the definition of the precision, from the file alone: the part of the images has none, nor has the softmax.
    [softmax] = [node for node in model.graph.node if node.op_type == "Softmax"]
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    assert made[softmax.input[0]] in ("DequantizeLinear", "Gemm")
    assert not [
        node for node in model.graph.node if node.op_type == "MatMul" and "Quantize" in made.get(node.input[0], "")
    ]

    proof = json.loads(Path("small.onnx.json").read_text())
    assert proof["precision"] == "int8"
    assert proof["bytes"] == Path("small.onnx").stat().st_size
    assert proof["int8"]["calibration_images"] == 40
    data = cnnkit.FashionMNISTSample()
    data.setup("test")
    chosen = np.linspace(0, len(data.store.test_labels) - 1, 300).round().astype(int)
    images, labels = data.store.test_images[chosen], data.store.test_labels[chosen].numpy()
    found, net = (cnnkit.load(place).predict(images).probabilities for place in ("small.onnx", trained_once.path))
    right, right_net = (each.argmax(1) == labels for each in (found, net))
    assert proof["int8"]["drop"] == pytest.approx(100 * (right_net.mean() - right.mean()))
    assert proof["int8"]["low"] <= proof["int8"]["drop"] <= proof["int8"]["high"]
    assert proof["int8"]["differing_classes"] == (found.argmax(1) != net.argmax(1)).sum()
    assert proof["int8"]["largest_difference"] == pytest.approx(abs(found - net).max(), abs=1e-5)
    assert 1e-6 < abs(found - net).max() < 0.1
    assert re.search(r"int8 calibrated on +40 validation images", ended.out)


def test_calibration_images_are_validation_images(trained_once: RunFolder) -> None:
    words = ["--run", str(trained_once.path), "--format", "onnx", "--int8", "--calibration_images", "7"]
    plan = export._plan_int8(export.arguments().read(words), trained_once)
    data = load_validation_data(trained_once, "")
    held_out = {data.store.train_images[k].numpy().tobytes() for k in data.val_indices.tolist()}
    assert len(plan.images) == 7
    assert {image.tobytes() for image in plan.images} <= held_out


def test_a_file_that_loses_too_much_is_refused(cli: Cli, trained_once: RunFolder, monkeypatch) -> None:
    black = Int8(np.zeros((8, 1, 28, 28), np.uint8))  # every range is that of one image without content
    monkeypatch.setattr(export, "_plan_int8", lambda args, run: black)
    words = ["--format", "onnx", "--check_images", "300", "-o", "small.onnx"]
    ended = cli("export", "--run", str(trained_once.path), "--int8", *words)
    assert ended.code == 2
    assert re.search(
        r"small.onnx: not written, because int8 costs \d+\.\d\d points of accuracy on 300 images", ended.err
    )
    assert "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) <= 3
    assert list(Path.cwd().iterdir()) == []


def test_the_rule_of_refusal() -> None:
    labels = np.arange(200) % 2
    net = np.eye(2)[labels]
    file = net.copy()
    file[:3] = 1 - file[:3]  # 1.5 points
    plan = Int8(np.zeros((5, 1, 2, 2), np.uint8))
    cost = measure_cost(net, file, labels, None, plan)
    assert (cost.drop, cost.differing_classes, cost.largest_difference) == (pytest.approx(1.5), 3, 1.0)
    with pytest.raises(UserError, match=r"int8 costs 1\.50 points of accuracy on 200 images, and 1 points are allowed"):
        refuse_cost(cost, Path("net.onnx"))
    refuse_cost(measure_cost(net, file, labels, None, Int8(plan.images, max_drop=2.0)), Path("net.onnx"))
    unknown = measure_cost(net, file, None, None, plan)  # each other class may have been right
    assert unknown.drop is None
    with pytest.raises(UserError, match="3 of 200 images get another class"):
        refuse_cost(unknown, Path("net.onnx"))
    refuse_cost(measure_cost(1 - net, 1 - file, labels, None, plan), Path("net.onnx"))  # int8 is better here
    broken = measure_cost(net, np.full_like(net, np.nan), labels, None, plan)
    assert broken.largest_difference == np.inf


def test_with_several_labels_each_must_be_right() -> None:
    net = np.array([[0.9, 0.1], [0.6, 0.7]])
    file = np.array([[0.9, 0.2], [0.4, 0.7]])
    cost = measure_cost(net, file, np.array([[1, 0], [1, 1]]), np.array([0.5, 0.5]), Int8(np.zeros((1, 1, 1, 1))))
    assert (cost.drop, cost.differing_classes) == (pytest.approx(50.0), 1)


def test_nodes_before_the_first_layer_and_after_the_last_are_left_alone() -> None:
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")
    make = onnx.helper.make_node
    nodes = [
        make("MatMul", ["images", "images"], ["resized"], "resize"),
        make("MatMul", ["resized", "weight"], ["first"], "first"),
        make("Relu", ["first"], ["active"], "relu"),
        make("Add", ["active", "resized"], ["sum"], "shortcut"),
        make("MatMul", ["sum", "weight"], ["last"], "last"),
        make("Mul", ["last", "weight"], ["scaled"], "temperature"),
        make("Softmax", ["scaled"], ["probabilities"], "softmax"),
    ]
    graph = onnx.helper.make_graph(nodes, "net", [], [], [weight])
    assert choose_nodes(onnx.helper.make_model(graph)) == ["first", "relu", "shortcut", "last"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "torch", "--int8"], "--int8 is for --format onnx, not torch: choose onnx, or leave out --int8"),
        (["--format", "onnx", "--max_drop", "2"], "--max_drop has no effect without --int8"),
        (["--format", "onnx", "--calibration_images", "9"], "--calibration_images has no effect without --int8"),
        (["--format", "onnx", "--int8", "--max_drop", "nan"], "'nan' is no number of points from 0 to 100"),
    ],
    ids=str,
)
def test_options_without_effect_are_refused(cli: Cli, trained_once: RunFolder, words: list[str], message: str) -> None:
    ended = cli("export", "--run", str(trained_once.path), *words)
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) <= 3


def test_a_checkpoint_alone_has_no_images_to_calibrate_on(cli: Cli, trained_once: RunFolder) -> None:
    checkpoint = trained_once.path / "checkpoints" / "best.ckpt"
    ended = cli("export", "--ckpt_path", str(checkpoint), "--format", "onnx", "--int8", "-o", "net.onnx")
    assert ended.code == 2
    assert "--int8 is calibrated on the validation images of a run: name it (--run RUN)" in ended.err
