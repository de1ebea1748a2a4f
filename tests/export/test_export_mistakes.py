"""`cnnkit export` where something is missing, in the way, or wrong."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from refusals import assert_refused
from small_runs import Cli
from torch.export import ExportedProgram

import cnnkit
from cnnkit.export import exporting
from cnnkit.runs import RunFolder


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
    with pytest.raises(cnnkit.errors.UserError, match="export it again"):
        graph.tta = "flip"


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
    words = ["--run", str(trained_once), "--format", "onnx", "-o", "a.onnx", "--check_images", "20"]
    ended = cli("export", *words)
    assert ended.code == 0
    assert "a.onnx.json" in ended.out
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
