"""`cnnkit export`: the file predicts what the run does, as its user will run it, or there is no file."""

import errno
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from prediction_table import read_table
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_runs import Cli, CommandResult
from torch.export import ExportedProgram

import cnnkit
from cnnkit import FashionMNISTSample
from cnnkit.export import exporting
from cnnkit.export.deployed import DeployedNet
from cnnkit.export.loading import open_exported
from cnnkit.export.subject import Subject, take_files
from cnnkit.export.torch_file import write_torch
from cnnkit.inference.predictor import Predictor
from cnnkit.inference.trained_net import TrainedNet
from cnnkit.runs import RunFolder

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}


@pytest.fixture
def written_before(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files that were written before in place of writing them, for what is about the rest."""

    def copy(kind: str, subject: Subject, file: Path) -> None:
        file.write_bytes((exported / f"net{SUFFIXES[kind]}").read_bytes())

    monkeypatch.setattr(exporting, "write", copy)


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


def test_whoever_may_read_a_new_file_may_read_an_exported_one(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    usual = (tmp_path / "new").stat().st_mode
    assert {file.stat().st_mode for file in exported.iterdir()} == {usual}


def make_wrong(fault: str, program: ExportedProgram, original: Path, file: Path) -> None:
    """Write a copy of an exported file in which two classes have changed places, or another mean is subtracted."""
    opened = open_exported(original)
    names, mean = opened.description.class_names, opened.description.mean
    found = replace(opened.description, class_names=[names[1], names[0], *names[2:]])
    if fault == "mean":
        found = replace(opened.description, mean=[mean[0] + 0.2])
    if file.suffix == ".onnx":
        model = onnx.load(original)
        [shift] = [each for each in model.graph.initializer if each.name == "shift"]
        if fault == "mean":
            wrong = onnx.numpy_helper.to_array(shift) - 0.5
            shift.CopyFrom(onnx.numpy_helper.from_array(wrong.astype(np.float32), "shift"))
        onnx.helper.set_model_props(model, {"cnnkit": found.to_json()})
        onnx.save(model, file)
    elif file.suffix == ".pt2":
        with pytest.MonkeyPatch.context() as patch:
            if fault == "mean":
                patch.setitem(program.state_dict, "shift", program.state_dict["shift"] - 0.5)
            write_torch(program, found, file)
    else:
        save_file(load_file(original), file, {"cnnkit": found.to_json()})


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("onnx", "classes"),
        ("onnx", "mean"),
        pytest.param("torch", "classes", marks=pytest.mark.slow),
        ("torch", "mean"),
        ("safetensors", "classes"),
        pytest.param("safetensors", "mean", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_is_made_wrong_is_refused(
    cli: Cli,
    trained_once: RunFolder,
    program: ExportedProgram,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fault: str,
) -> None:
    original = exported / f"net{SUFFIXES[kind]}"
    monkeypatch.setattr(exporting, "write", lambda kind, subject, file: make_wrong(fault, program, original, file))
    file = Path(original.name)
    file.write_text("what was there before")
    ended = cli("export", "--run", str(trained_once), "--format", kind, "-o", str(file), "--check_images", "50")
    assert_refused(ended, f"error: {file}: not written, because the file does not predict what the net does")
    assert [each.name for each in Path().iterdir()] == [file.name]
    assert file.read_text() == "what was there before"


def test_another_resize_than_the_runs_is_refused(
    trained_once: RunFolder, subject: Subject, exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the net's size nothing shows it."""

    class Brightness(torch.nn.Module):
        """Says how bright the images are, so that their margins count."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], 1) * 9

    data = replace(subject.data, class_names=["bright", "dark"], mean=[0.0], std=[1.0])
    other = subject._replace(classifier=TrainedNet(Brightness()), data=data)  # the run crops
    squashed = TrainedNet(Brightness())

    def run(kind: str, file: Path, inputs: list[Path], subject: Subject) -> np.ndarray:
        net = DeployedNet(squashed, replace(data, resize="squash"))
        return np.concatenate([net(torch.from_numpy(np.load(each))).numpy() for each in inputs])

    described = replace(open_exported(exported / "net.onnx").description, class_names=data.class_names)
    monkeypatch.setattr(exporting, "write", lambda *_: None)
    monkeypatch.setattr(exporting, "open_exported", lambda *_: SimpleNamespace(description=described))
    monkeypatch.setattr(exporting, "run_file", run)
    pixels = np.full((28, 84), 255, np.uint8)
    pixels[:, 28:56] = 0
    Image.fromarray(pixels).save(tmp_path / "bright_margins.png")
    with pytest.raises(cnnkit.errors.UserError, match="of 1 original files 1 have another class"):
        exporting.export_run(other, "onnx", tmp_path / "net.onnx", take_files([tmp_path / "bright_margins.png"], data))
    assert [each.name for each in tmp_path.iterdir()] == ["bright_margins.png"]


def test_what_a_killed_export_left_is_cleared(cli: Cli, trained_once: RunFolder, written_before: None) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Path(f".{ended.pid}.export").mkdir()
    Path(f".{ended.pid}.export/model.onnx").write_text("half")
    words = ["--run", str(trained_once), "--format", "onnx", "-o", "net.onnx", "--check_images", "2", "--json"]
    found = cli("export", *words)
    assert found.err == ""
    assert json.loads(found.out)["path"] == "net.onnx"
    assert sorted(each.name for each in Path().iterdir()) == ["net.onnx", "net.onnx.json"]


def test_images_in_place_of_data_that_is_gone(cli: Cli, trained_once: RunFolder, written_before: None) -> None:
    words = ["--ckpt_path", str(trained_once.best), "--format", "onnx", "-o", "net.onnx"]
    assert_refused(cli("export", *words), "name the run (--run RUN), or image files (--images PATH)")
    Image.effect_noise((90, 47), 90).save("a.png")
    ended = cli("export", *words, "--images", "a.png")
    assert ended.code == 0, ended.err
    proof = json.loads(Path("net.onnx.json").read_text())
    assert (proof["checked_on"], proof["agreement"]["images"], proof["accuracy"]) == ("image files", 1, {})
    assert (proof["resized_on"], proof["from_files"]["images"]) == ("original files", 1)


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
    program: ExportedProgram,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(exporting, "trace", lambda net: program)
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


@pytest.mark.slow
def test_an_export_of_an_untested_run_is_a_look(cli: Cli, fit: Callable[..., RunFolder]) -> None:
    run = fit("--trainer.limit_val_batches=1")
    words = ["--run", str(run.path), "--format", "safetensors", "--check_images", "20"]
    assert cli("export", *words).code == 0
    assert run.manifest()["test_looks"] == 1
    assert cli("test", "--run", str(run.path)).code == 0
    assert cli("export", *words).code == 0
    assert run.manifest()["test_looks"] == 2, "the scores were known"


def test_a_run_that_cannot_be_written_is_exported_to_another_place(
    cli: Cli, trained_once: RunFolder, written_before: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: RunFolder) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(RunFolder, "edit_manifest", fail)
    words = ["--run", str(trained_once), "--format", "safetensors", "-o", "a.safetensors", "--check_images", "20"]
    ended = cli("export", *words)
    assert ended.code == 0
    assert "a.safetensors.json" in ended.out
    assert "Read-only file system" in ended.err
    assert "not counted" in ended.err


def test_an_empty_output_is_not_taken_for_none(cli: Cli, trained_once: RunFolder) -> None:
    ended = cli("export", "--run", str(trained_once), "--format", "onnx", "-o", "")
    assert_refused(ended, "give a file that ends in .onnx")


def test_predict_asks_for_the_images_of_an_exported_file(cli: Cli, trained_once: RunFolder) -> None:
    for words in (["--model", "net.onnx"], ["--model=a folder/net.PT2"]):
        assert_refused(cli("predict", *words), "required: --images")
    Path("a.png").touch()
    assert_refused(cli("predict", "--model", str(trained_once.best), "--images", "a.png"), "by --ckpt_path")
