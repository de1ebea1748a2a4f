"""``pack`` on a tested run: what it makes works alone, tells nothing of this machine, and is refused if it is wrong."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import Cli

import cnnkit
from cnnkit.cli import main
from cnnkit.cli.commands import pack
from cnnkit.export.pack import contents, making
from cnnkit.export.pack.contents import list_class_names
from cnnkit.export.proof import Agreement, Proof
from cnnkit.export.subject import CheckImages, Subject
from cnnkit.runs import RunFolder

FEW = "--check_images=40"


@pytest.fixture(scope="module")
def packed(tested_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack in a zip file, unpacked; do not write to it."""
    desk = tmp_path_factory.mktemp("packed")
    (desk / "terms.txt").write_text("Use it well.\n")
    words = [str(tested_once), FEW, "--license=cc-by-4.0", f"--license_file={desk / 'terms.txt'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNKIT_PRECISION", "32-true")
        assert main(["pack", *words, "-o", str(desk / "model.zip")]) == 0
    with zipfile.ZipFile(desk / "model.zip") as archive:
        archive.extractall(desk)
    return next(file.parent for file in desk.glob("*/README.md"))


@pytest.fixture
def exported(packed: Path, monkeypatch: pytest.MonkeyPatch) -> list[CheckImages]:
    """The model file is there already, so that a pack takes a moment; the images that it would be compared on."""
    facts = json.loads((packed / "model.onnx.json").read_text())
    agreement = Agreement(**facts["agreement"])
    seen = []

    def copy(subject: Subject, kind: str, output: Path, images: CheckImages) -> Proof:
        seen.append(images)
        shutil.copyfile(packed / "model.onnx", output)
        return Proof(**{**facts, "agreement": agreement, "resized": agreement, "accuracy": {}, "seconds": 0.0})

    monkeypatch.setattr(making, "export_run", copy)
    return seen


def test_every_file_has_its_hash(packed: Path) -> None:
    sums = dict(reversed(line.split("  ")) for line in (packed / "SHA256SUMS").read_text().splitlines())
    there = {file.relative_to(packed).as_posix(): file for file in packed.rglob("*") if file.is_file()}
    assert sums.keys() | {"SHA256SUMS"} == there.keys()
    assert all(hashlib.sha256(there[name].read_bytes()).hexdigest() == found for name, found in sums.items())
    assert {"README.md", "LICENSE", "model.onnx", "model.onnx.json", "predict.py", "config.yaml"} <= there.keys()


def test_nothing_names_this_machine(packed: Path, tested_once: Path) -> None:
    places = {str(Path(cnnkit.__file__).parents[1]), str(tested_once.parent), str(Path(sys.prefix)), "site-packages"}
    for file in (each for each in packed.rglob("*") if each.is_file()):
        content = file.read_bytes()
        assert not [place for place in places if place.encode() in content], file


def test_its_script_predicts_as_predict_does(packed: Path, tested_once: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("a.jpg", (60, 90, 3)), ("b.png", (28, 28)), ("c.png", (50, 40, 4))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no image")
    words = [sys.executable, "-I", str(packed / "predict.py"), "-o", "table.csv", "."]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.startswith("broken.png: ")
    net = cnnkit.load(tested_once, device="cpu")
    expected = net.predict([tmp_path / name for name in ("a.jpg", "b.png", "c.png")])
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["classes"] for row in rows] == expected.labels
    found = np.array([[float(row[name]) for name in net.class_names] for row in rows])
    assert np.abs(found - expected.probabilities).max() < 1e-5
    assert expected.labels[0] in ended.stdout


def test_its_card_and_names_are_those_of_the_run(packed: Path, tested_once: Path) -> None:
    manifest = RunFolder(tested_once).manifest()
    card = (packed / "README.md").read_text()
    assert f"| accuracy | {manifest['test']['test/acc']:.4f} |" in " ".join(card.split())
    assert manifest["data"]["split"] in card
    assert "cc-by-4.0. Its text is in LICENSE." in card
    assert "was run on 40 test images in onnxruntime: 0 have another class" in card
    assert (packed / "class_names.txt").read_text() == list_class_names(cnnkit.load(tested_once).class_names)
    assert json.loads((packed / "model.onnx.json").read_text())["accuracy"], "the test images were scored before"


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(packed: Path, tested_once: Path, cli: Cli) -> None:
    found = cli(
        "pack", str(tested_once), FEW, "-o", "again.zip", "--license=cc-by-4.0", f"--license_file={packed}/LICENSE"
    )
    assert found.code == 0, found.err
    assert Path("again.zip").read_bytes() == (packed.parent / "model.zip").read_bytes()


@pytest.mark.usefixtures("exported")
def test_a_script_that_needs_cnnkit_leaves_no_pack(
    tested: RunFolder, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(pack.__file__, "predict.py")  # it imports cnnkit
    monkeypatch.setattr(making, "SCRIPT", Path("predict.py").resolve())
    before = sorted(Path().rglob("*"))
    for output in ("out", "out.zip"):
        found = cli("pack", str(tested), FEW, "-o", output)
        assert found.code == 2
        assert "fails in an empty environment: ModuleNotFoundError: No module named 'cnnkit'" in found.err
        assert sorted(Path().rglob("*")) == before


@pytest.mark.usefixtures("exported")
def test_a_model_that_differs_from_the_net_leaves_no_pack(
    tested: RunFolder, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "TOLERANCE", 1e-12)
    found = cli("pack", str(tested), FEW, "-o", "out")
    assert found.code == 2
    assert "predict.py fails in an empty environment: 4 images, largest difference" in found.err
    assert not Path("out").exists()


def test_an_untested_run_is_not_scored(untested: RunFolder, cli: Cli, exported: list[CheckImages]) -> None:
    found = cli("pack", str(untested), FEW, "-o", "out")
    assert found.code == 0, found.err
    assert [images.labels for images in exported] == [None]
    assert "no scores of test images" in found.out
    assert "**Not tested.**" in Path("out/README.md").read_text()
    assert cli("pack", str(untested), FEW, "-o", "out").code == 0, "an earlier pack is replaced"


@pytest.mark.slow
def test_a_graph_of_torch_works_without_cnnkit(tested: RunFolder, cli: Cli) -> None:
    found = cli("pack", str(tested), FEW, "-o", "out", "--formats=torch,safetensors")
    assert found.code == 0, found.err
    assert "check of model.pt2" in found.out
    assert {"model.pt2", "model.safetensors"} <= {file.name for file in Path("out").iterdir()}
    assert "torch==" in Path("out/requirements.txt").read_text()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--formats=onyx"], "choose from onnx, torch, safetensors"),
        (["--formats=onnx,onnx"], "name each once"),
        (["--formats=safetensors"], "a pack needs onnx or torch"),
        (["--license="], "license: is empty"),
        (["--license_file=nothing.txt"], "nothing.txt: cannot be read"),
        (["--license_file=photo"], "photo: no UTF-8 text"),
        (["-o", "model.onnx"], "give a folder, or a file that ends in .zip"),
        (["-o", "full"], "full: holds mine.txt"),
        (["--images", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_end_in_a_line(tested_once: Path, cli: Cli, words: list[str], reason: str) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    Path("photo").write_bytes(b"\xff\xd8\xff")
    found = cli("pack", str(tested_once), *words)
    assert (found.code, found.out) == (2, "")
    assert reason in found.err
    assert found.err.count("\n") <= 3
    assert Path("full/mine.txt").exists()


def test_a_run_is_named_without_a_key(cli: Cli) -> None:
    for command in ("pack", "compare"):
        ended = cli(command, "--run", "a")
        assert ended.code == 2
        assert ended.err.startswith(f"error: --run: here a run is named without it: cnnkit {command} RUN")
