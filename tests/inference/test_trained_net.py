"""The net alone gives the bits that its whole task gives, and whatever needs the task gets it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from prediction_table import read_table
from small_runs import SHORT, Cli

import cnnkit.models
from cnnkit.cli.parsing.build import build_from_config
from cnnkit.errors import UserError
from cnnkit.inference.task_loading import load_task
from cnnkit.inference.trained_net import TrainedNet, load_classifier, rebuild_net
from cnnkit.runs import RunFolder, find
from cnnkit.weights import skip_pretrained
from cnnkit.weights.checkpoints import load_checkpoint

NOT_IMPORTED = (
    "lightning",
    "pytorch_lightning",
    "torchmetrics",
    "torchvision",
    "timm",
    "scipy",
    "matplotlib",
    "pandas",
)


def images(channels: int = 1, size: int = 28) -> torch.Tensor:
    return torch.randn(5, channels, size, size, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def assert_same_bits(path: Path, like: torch.Tensor | None = None) -> None:
    """Compare the net alone with the task that Lightning loads."""
    alone, (task, _) = rebuild_net(load_checkpoint(path)), load_task(path)
    assert isinstance(alone, TrainedNet)
    like = images() if like is None else like
    for tta in ("none", "flip_shift"):
        alone.tta = task.tta = tta
        found, expected = alone.predict_step(like), task.predict_step(like, 0)
        assert found.dtype == expected.dtype == torch.float32
        assert torch.equal(found, expected)
    own, theirs = alone.net.state_dict(), task.net.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    assert not any(module.training for module in alone.modules())


@pytest.mark.parametrize(
    "words",
    [
        ["--model.net.norm=batch", "--model.net.dropout=0.2", "--model.compile_net=true"],
        ["--model=AuxiliaryLossTask", "--model.after=[features.2]"],
        ["--model=TransferTask", "--model.head_sizes=[8]", "--model.head_dropout=0.1", "--model.mode=frozen"],
        ["--trainer.callbacks+=EMA", "--trainer.callbacks.decay=0.5"],
        ["--trainer.callbacks+=lightning.pytorch.callbacks.WeightAveraging", "--model.net.norm=batch"],
    ],
    ids=["classification", "auxiliary", "transfer", "EMA", "averaged weights"],
)
def test_the_net_alone_gives_the_same_bits_as_the_task(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)  # it is what the checkpoint says that counts
    small = ["--model.net.channels=[4]", "--model.net.hidden_sizes=[6]", "--watch=null", "--data.batch_size=32"]
    ended = cli("fit", *words, *small, *SHORT, "--name=small")
    assert ended.code == 0, ended.err
    run = find("runs/small")
    assert_same_bits(run.best)
    assert_same_bits(run.last)


@pytest.mark.parametrize("name", cnnkit.models.__all__)
def test_every_net_is_rebuilt(name: str, tmp_path: Path) -> None:
    words = ["--model.net", name, "--data.val_size", "100"]
    task = build_from_config(words).task
    path = tmp_path / "a.ckpt"
    checkpoint = {
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "pytorch-lightning_version": "2.6.6",
        **dict.fromkeys(("epoch", "global_step"), 0),
    }
    torch.save(checkpoint, path)
    assert_same_bits(path)


def changed(run: RunFolder, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    checkpoint = load_checkpoint(run.best)
    change(checkpoint)
    return checkpoint


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["hyper_parameters"].update(_class_path="my_file.MyTask"),
        lambda c: c["hyper_parameters"].update(_class_path="cnnkit.tasks.optimization.ModuleWithOptimizer"),
        lambda c: c["hyper_parameters"].pop("_instantiator"),
        lambda c: c["hyper_parameters"]["net"].update(class_path="my_file.CNN"),
        lambda c: c["hyper_parameters"]["net"].update(class_path="torch.nn.Identity", init_args={}),
        lambda c: c["hyper_parameters"]["net"].update(dict_kwargs={"x": 1}),
        lambda c: c["hyper_parameters"]["net"]["init_args"].update(no_such_argument=1),
        lambda c: c["hyper_parameters"].update(net="cnnkit.models.CNN"),
        lambda c: c["hyper_parameters"].update(optimizer={"class_path": "my_file.SGD"}),
        lambda c: c["hyper_parameters"].update(tta="ten_crop"),
        lambda c: c["state_dict"].popitem(),
        lambda c: c["state_dict"].update(scale=torch.ones(1)),
        lambda c: c.update({"pytorch-lightning_version": "1.9.0"}),
        lambda c: c.pop("hyper_parameters"),
    ],
)
def test_what_is_not_certain_is_left_to_the_task(
    trained_once: RunFolder, change: Callable[[dict[str, Any]], Any]
) -> None:
    assert rebuild_net(load_checkpoint(trained_once.best)) is not None
    assert rebuild_net(changed(trained_once, change)) is None


MY_FILE = """
from cnnkit import ClassificationTask

class Certain(ClassificationTask):
    def predict_step(self, batch, batch_idx):
        return super().predict_step(batch, batch_idx).pow(2)
"""


def test_a_task_of_ones_own_predicts_as_it_says(cli: Cli) -> None:
    Path("my_predictions.py").write_text(MY_FILE)
    ended = cli(
        "fit", "--model=my_predictions.Certain", "--model.net.channels=[4]", *SHORT, "--name=own", "--watch=null"
    )
    assert ended.code == 0, ended.err
    run = find("runs")
    Image.effect_noise((28, 28), 90).save("a.png")
    assert cli("predict", "--run=runs", "--images=a.png").code == 0
    classifier, _ = load_classifier(run.best, [run.config])
    assert type(classifier).__name__ == "Certain"
    with torch.inference_mode():
        plain = TrainedNet(classifier.net).predict_step(images())
        assert torch.equal(classifier.predict_step(images(), 0), plain.pow(2))
    for given in (("runs",), (run.best, None, run.config)):
        found = cnnkit.load(given[0], config=given[2:]).predict("a.png")[0]
        assert f"{found.probability:.6f}" == read_table()[0]["probability"]
    with pytest.raises(UserError, match=r"needs my_predictions\.Certain, which is neither"):
        cnnkit.load(run.best)
    with pytest.raises(UserError, match=r"nothing\.yaml: cannot be read"):
        cnnkit.load(run.best, config="nothing.yaml")
    shares = [float(read_table()[0][f"probability_{k}"]) for k in range(1, 6)]
    assert 0 < sum(shares) < 0.5  # of the squares


def imported_by(code: str, folder: Path) -> set[str]:
    """The modules without a dot that a program has imported at its end."""
    code += "\nimport json, sys; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, cwd=folder
    )
    return set(json.loads(found.stdout.splitlines()[-1]))


def test_predict_imports_neither_lightning_nor_anything_else_that_is_slow(
    trained_once: RunFolder, tmp_path: Path
) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    words = ["predict", "--run", str(trained_once), "--images", "a.png"]
    modules = imported_by(f"from cnnkit.cli import main; assert main({words}) == 0", tmp_path)
    assert "torch" in modules
    assert not modules & set(NOT_IMPORTED)
    code = f"import cnnkit; assert len(cnnkit.load({str(trained_once)!r}).predict('a.png')) == 1"
    assert not imported_by(code, tmp_path) & set(NOT_IMPORTED)


def test_pretrained_weights_are_not_fetched(trained_once: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("cnnkit.inference.trained_net.skip_pretrained", lambda: seen.append(1) or skip_pretrained())
    assert rebuild_net(load_checkpoint(trained_once.best)) is not None
    assert seen == [1]
