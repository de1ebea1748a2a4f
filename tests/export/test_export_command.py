"""`cnnkit export`: the file predicts what the run does, as its user will run it, or there is no file."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from prediction_table import read_table
from safetensors import safe_open
from small_runs import Cli

import cnnkit
from cnnkit import FashionMNISTSample
from cnnkit.export import SUFFIXES
from cnnkit.export.subject import Subject
from cnnkit.inference.predictor import Predictor
from cnnkit.runs import RunFolder


@pytest.fixture
def photos(cli: Cli) -> Path:
    """Image files of many sizes, gray and in color, and one that cannot be read."""
    Path("photos").mkdir()
    for k, size in enumerate([(28, 28), (29, 28), (90, 47), (300, 200), (9, 5), (31, 28)]):
        Image.effect_noise(size, 90).convert("RGB" if k % 2 else "L").save(f"photos/{k}.png")
    Path("photos/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return Path("photos")


def expect(run: RunFolder, pixels: torch.Tensor) -> np.ndarray:
    """What the net says, by the definition of its preparation."""
    predictor = cnnkit.load(run.path)
    with torch.inference_mode():
        return predictor.net((pixels.float() / 255 - 0.2860) / 0.3530).softmax(1).numpy()


def test_onnx_alone_predicts_what_the_net_does(exported: Path, trained_once: RunFolder) -> None:
    session = onnxruntime.InferenceSession(exported / "net.onnx", providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("images", "tensor(uint8)", ["batch", 1, "height", "width"])
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("probabilities", ["batch", 10])]
    pixels = FashionMNISTSample().open().test_images[:10]
    for batch in (1, 2, 7):
        [found] = session.run(None, {"images": pixels[:batch].numpy()})
        np.testing.assert_allclose(found, expect(trained_once, pixels[:batch]), atol=1e-6)
    described = json.loads(session.get_modelmeta().custom_metadata_map["cnnkit"])
    assert described["class_names"] == list(FashionMNISTSample().class_names)
    assert described["run"] == {"name": "small", "id": trained_once.path.name}


def test_the_graph_of_torch_alone_predicts_what_the_net_does(exported: Path, trained_once: RunFolder) -> None:
    pixels = FashionMNISTSample().open().test_images[:7]
    net = torch.export.load(exported / "net.pt2").module()
    for batch in (1, 2, 7):
        found = net(pixels[:batch]).detach().numpy()
        np.testing.assert_allclose(found, expect(trained_once, pixels[:batch]), atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_a_file_gives_the_table_of_the_run(
    cli: Cli, photos: Path, exported: Path, trained_once: RunFolder, suffix: str
) -> None:
    assert cli("predict", "--run", str(trained_once), "--images", "photos", "-o", "run.csv").code == 3
    assert cli("predict", "--model", str(exported / f"net{suffix}"), "--images", "photos", "-o", "file.csv").code == 3
    of_run, of_file = read_table("run.csv"), read_table("file.csv")
    assert len(of_run) == len(of_file) == 7
    for row, other in zip(of_run, of_file, strict=True):
        assert row.keys() == other.keys()
        for column, value in row.items():
            if "probability" in column and value:
                assert float(value) == pytest.approx(float(other[column]), abs=2e-6)
            else:
                assert value == other[column]


def test_every_file_is_a_predictor(exported: Path, trained_once: RunFolder, photos: Path) -> None:
    run, weights = cnnkit.load(trained_once.path), cnnkit.load(exported / "net.safetensors")
    images = [f"photos/{k}.png" for k in range(6)]
    assert np.array_equal(weights.predict(images).probabilities, run.predict(images).probabilities)
    assert np.array_equal(weights.embed(images), run.embed(images))
    explained, expected = weights.explain(images[0])[0], run.explain(images[0])[0]
    assert all(np.array_equal(explained.maps[name], expected.maps[name]) for name in expected.maps)
    for suffix in (".onnx", ".pt2"):
        graph = cnnkit.load(exported / f"net{suffix}", batch_size=4)
        assert isinstance(graph, Predictor)
        np.testing.assert_allclose(graph.predict(images).probabilities, run.predict(images).probabilities, atol=1e-6)
        assert f"net{suffix}, float32: 1x28x28 pixels to 10 classes" in repr(graph)
        for use in (graph.embed, graph.explain):
            with pytest.raises(cnnkit.errors.UserError, match=r"predicts alone.*load the run"):
                use(images)


def test_nothing_of_this_machine_is_in_a_file(exported: Path, trained_once: RunFolder) -> None:
    for file in exported.glob("net.*"):
        content = file.read_bytes()
        for place in (trained_once.path.parent, Path(cnnkit.__file__).parents[1], Path.home(), Path(sys.prefix)):
            assert str(place).encode() not in content, (file.name, place)


def test_the_proof_stands_beside_the_file(exported: Path) -> None:
    for kind, suffix in SUFFIXES.items():
        proof = json.loads((exported / f"net{suffix}.json").read_text())
        assert proof["format"] == kind
        assert proof["agreement"]["images"] == proof["accuracy"]["file"]["images"] == 50
        assert proof["agreement"]["largest_difference"] <= 1e-4
        assert proof["accuracy"]["net"] == proof["accuracy"]["file"]
        assert proof["resized"]["images"] == 10
    assert sorted(file.name for file in exported.iterdir()) == sorted(
        f"net{suffix}{end}" for suffix in SUFFIXES.values() for end in ("", ".json")
    )


def test_whoever_may_read_a_new_file_may_read_an_exported_one(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    usual = (tmp_path / "new").stat().st_mode
    assert {file.stat().st_mode for file in exported.iterdir()} == {usual}


def test_weights_hold_what_the_checkpoint_says(exported: Path, subject: Subject) -> None:
    with safe_open(exported / "net.safetensors", "pt") as file:
        names = set(file.keys())
        described = json.loads(file.metadata()["cnnkit"])
    assert names == set(subject.classifier.net.state_dict())
    assert described["net"]["init_args"]["channels"] == [4, 8]
    assert re.fullmatch(r"[0-9a-f]{64}", described["checkpoint"]["sha256"])
