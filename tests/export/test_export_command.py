"""`cnnkit export`: the file predicts what the run does, as its user will run it, or there is no file."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from prediction_table import read_table
from safetensors import safe_open
from small_runs import Cli, CommandResult
from torch.export import ExportedProgram

import cnnkit
from cnnkit import FashionMNISTSample
from cnnkit.export import exporting
from cnnkit.export.deployed import DeployedNet, trace
from cnnkit.export.description import describe
from cnnkit.export.subject import Subject, open_subject
from cnnkit.inference.predictor import Predictor
from cnnkit.runs import RunFolder

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}


@pytest.fixture(scope="module")
def subject(trained_once: RunFolder) -> Subject:
    return open_subject(trained_once)


@pytest.fixture(scope="module")
def program(subject: Subject) -> ExportedProgram:
    """The traced net, for a trace takes a second."""
    return trace(DeployedNet(subject.classifier, subject.data))


@pytest.fixture
def traced_once(program: ExportedProgram, monkeypatch: pytest.MonkeyPatch) -> ExportedProgram:
    monkeypatch.setattr(exporting, "trace", lambda net: program)
    return program


@pytest.fixture(scope="module")
def exported(trained_once: RunFolder, program: ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run's net in every format; do not write to it."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(exporting, "trace", lambda net: program)
        for kind, suffix in SUFFIXES.items():
            words = ["--run", str(trained_once.path), "--format", kind, "-o", f"net{suffix}", "--check_images", "50"]
            assert cnnkit.cli.main(["export", *words]) == 0
    return folder


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


def assert_refused(ended: CommandResult, *texts: str) -> None:
    assert ended.code == 2
    assert len(ended.err.splitlines()) <= 3
    for text in texts:
        assert text in ended.err


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


FAULTS = [("onnx", "classes"), ("onnx", "mean"), ("torch", "mean"), ("safetensors", "classes")]
SLOW = [("torch", "classes"), ("safetensors", "mean")]


@pytest.mark.parametrize(("kind", "fault"), [*FAULTS, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)])
def test_a_file_that_is_made_wrong_is_refused(
    cli: Cli,
    trained_once: RunFolder,
    traced_once: ExportedProgram,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fault: str,
) -> None:
    def describe_wrongly(*args: Any) -> Any:
        found = describe(*args)
        names = found.class_names
        if fault == "classes":
            return replace(found, class_names=[names[1], names[0], *names[2:]])
        return replace(found, mean=[found.mean[0] + 0.2])

    monkeypatch.setattr(exporting, "describe", describe_wrongly)
    if fault == "mean":
        monkeypatch.setitem(traced_once.state_dict, "shift", traced_once.state_dict["shift"] - 0.5)
    file = Path(f"net{SUFFIXES[kind]}")
    file.write_text("what was there before")
    ended = cli("export", "--run", str(trained_once), "--format", kind, "-o", str(file), "--check_images", "50")
    assert_refused(ended, f"error: {file}: not written, because the file does not predict what the net does")
    assert [each.name for each in Path().iterdir()] == [file.name]
    assert file.read_text() == "what was there before"


def test_another_resize_than_the_runs_is_refused(
    cli: Cli, trained_once: RunFolder, traced_once: ExportedProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the net's size nothing shows it."""
    folder = Path("photos")
    folder.mkdir()
    for k in range(4):
        pixels = np.zeros((28, 84), np.uint8)
        pixels[:, 28 * (k % 2) :: 3] = 255
        Image.fromarray(pixels).save(folder / f"{k}.png")

    class Squashing(DeployedNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.resize = "squash"
            return super().forward(images)

    monkeypatch.setattr(exporting, "trace", trace)
    monkeypatch.setattr(exporting, "DeployedNet", Squashing)
    words = ["--run", str(trained_once), "--format", "onnx", "-o", "net.onnx", "--images", "photos"]
    monkeypatch.setattr(exporting, "RESIZED_TOLERANCE", 1e-3)  # this net has learned little
    assert_refused(cli("export", *words), "original files")
    assert not Path("net.onnx").exists()


def test_what_a_killed_export_left_is_cleared(cli: Cli, trained_once: RunFolder, traced_once: ExportedProgram) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Path(f".{ended.pid}.export").mkdir()
    Path(f".{ended.pid}.export/model.onnx").write_text("half")
    words = ["--run", str(trained_once), "--format", "onnx", "-o", "net.onnx", "--check_images", "2", "--json"]
    found = cli("export", *words)
    assert found.err == ""
    assert json.loads(found.out)["path"] == "net.onnx"
    assert sorted(os.listdir()) == ["net.onnx", "net.onnx.json"]  # noqa: PTH208


def test_images_in_place_of_data_that_is_gone(
    cli: Cli, trained_once: RunFolder, subject: Subject, traced_once: ExportedProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--ckpt_path", str(trained_once.best), "--format", "onnx", "-o", "net.onnx"]
    assert_refused(cli("export", *words), "name the run (--run RUN), or image files (--images PATH)")
    Image.effect_noise((90, 47), 90).save("a.png")
    ended = cli("export", *words, "--images", "a.png")
    assert ended.code == 0, ended.err
    proof = json.loads(Path("net.onnx.json").read_text())
    assert (proof["checked_on"], proof["agreement"]["images"], proof["accuracy"]) == ("image files", 1, {})
    assert (proof["resized_on"], proof["run"]) == ("original files", {})


MISTAKES = [
    (["--format", "onnx"], "no output: name the file to write"),
    (["--format", "onnx", "-o", "net.onnx"], "no weights to work with: name a run"),
    (["--format", "onnx", "--run", "nothing"], "nothing: no such run folder"),
    (["--format", "onnx", "--run", "RUN", "-o", "net.pt2"], "output is net.pt2: give a file that ends in .onnx"),
    (["--format", "pt", "--run", "RUN"], "invalid choice: 'pt'"),
    (["--run", "RUN"], "required: --format"),
    (["--format", "onnx", "--run", "RUN", "--check_images", "0"], "expected a whole number from 1 on"),
    (["--format", "onnx", "--run", "RUN", "--images", "none.png", "-o", "net.onnx"], "none.png: no such file"),
    (["--format", "onnx", "--run", "RUN", "--tau", "1"], "--tau: unknown word"),
    (["--format", "onnx", "--run", "RUN", "--posthoc_tau", "-1", "-o", "net.onnx"], "posthoc_tau is -1"),
    (["--format", "onnx", "--run", "RUN", "--ckpt_path", "no.ckpt", "-o", "net.onnx"], "no such checkpoint"),
]


@pytest.mark.parametrize(("words", "text"), MISTAKES, ids=[text for _, text in MISTAKES])
def test_mistakes_are_a_line(cli: Cli, trained_once: RunFolder, words: list[str], text: str) -> None:
    assert_refused(cli("export", *[str(trained_once) if word == "RUN" else word for word in words]), text)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    cli: Cli,
    trained_once: RunFolder,
    traced_once: ExportedProgram,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    words = ["--run", str(trained_once), "--format", "onnx", "-o", "net.onnx"]
    assert_refused(cli("export", *words), f"need {package}, which is not installed: pip install 'cnnkit[export]'")
    Image.effect_noise((90, 47), 90).save("a.png")
    if package != "onnxscript":
        ended = cli("predict", "--model", str(exported / "net.onnx"), "--images", "a.png")
        assert_refused(ended, "pip install 'cnnkit[export]'")


def test_what_a_file_has_of_its_own_cannot_be_asked_for(cli: Cli, exported: Path, trained_once: RunFolder) -> None:
    Image.effect_noise((90, 47), 90).save("a.png")
    for words in (["--tta", "flip"], ["--posthoc_tau", "1"], ["--run", str(trained_once)], ["--ckpt_path", "best"]):
        ended = cli("predict", "--model", str(exported / "net.onnx"), "--images", "a.png", *words)
        assert_refused(ended, f"{words[0]} has no effect with --model")
    for argument in ({"tta": "flip"}, {"posthoc_tau": 1.0}, {"checkpoint": "best"}, {"device": "cuda"}):
        with pytest.raises(cnnkit.errors.UserError, match=f"{next(iter(argument))} is .*: leave it out"):
            cnnkit.load(exported / "net.onnx", **argument)  # type: ignore[arg-type]
    graph = cnnkit.load(exported / "net.onnx")
    with pytest.raises(cnnkit.errors.UserError, match="export it anew"):
        graph.tta = "flip"


def test_weights_hold_what_the_checkpoint_says(exported: Path, subject: Subject) -> None:
    with safe_open(exported / "net.safetensors", "pt") as file:
        names = set(file.keys())
        described = json.loads(file.metadata()["cnnkit"])
    assert names == set(subject.classifier.net.state_dict())
    assert described["net"]["init_args"]["channels"] == [4, 8]
    assert re.fullmatch(r"[0-9a-f]{64}", described["checkpoint"]["sha256"])
