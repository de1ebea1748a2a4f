"""A head that trains on what a frozen backbone made of the images once."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from small_runs import Cli
from torch import Tensor, nn

from cnnkit import CNN, FashionMNISTSample, TransferTask
from cnnkit.data.folder import ImageFolder
from cnnkit.errors import UserError
from cnnkit.runs import find
from cnnkit.tasks.embeddings import fingerprint, load_features, save_features

KEY = "0" * 64


def net(**kwargs: Any) -> CNN:
    torch.manual_seed(0)
    made = CNN(**{"channels": (4, 8), "hidden_sizes": (), "norm": "batch", "global_pool": True, **kwargs})
    for module in made.modules():  # statistics that a pass in training mode would move
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
    return made


class Shapes(Callback):
    def __init__(self) -> None:
        self.train: list[tuple[int, ...]] = []
        self.losses: list[Tensor] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, *args: Any) -> None:
        self.train.append(tuple(batch[0].shape))
        self.losses.append(outputs["loss"])


def fit(task: TransferTask, data: FashionMNISTSample | None = None, **kwargs: Any) -> tuple[L.Trainer, Shapes]:
    seen = Shapes()
    short = {"max_epochs": 2, "limit_train_batches": 5, "num_sanity_val_steps": 0, "callbacks": [seen]}
    quiet = {"logger": False, "enable_model_summary": False, "enable_progress_bar": False}
    trainer = L.Trainer(accelerator="cpu", enable_checkpointing=False, **{**quiet, **short, **kwargs})
    trainer.fit(task, datamodule=data or images())
    return trainer, seen


def images(**kwargs: Any) -> FashionMNISTSample:
    return FashionMNISTSample(**{"train_fraction": 0.1, "val_size": 300, "augment": [], "batch_size": 64, **kwargs})


SGD = partial(torch.optim.SGD, lr=0.1)


def embedded(made: nn.Module, cache: Path, **kwargs: Any) -> TransferTask:
    return TransferTask(made, "embeddings", optimizer=SGD, cache_dir=str(cache), **kwargs)


def test_the_head_trains_as_if_the_backbone_ran_each_time(tmp_path: Path) -> None:
    one, other = TransferTask(net(), "frozen", optimizer=SGD), embedded(net(), tmp_path)
    (first, images_seen), (second, features_seen) = fit(one), fit(other)
    assert images_seen.train == [(64, 1, 28, 28)] * 10
    assert features_seen.train == [(64, 8)] * 10
    torch.testing.assert_close(torch.stack(images_seen.losses), torch.stack(features_seen.losses))
    torch.testing.assert_close(one.net.state_dict(), other.net.state_dict())
    for name in ("val/loss", "val/acc", "train/loss"):
        assert second.callback_metrics[name] == pytest.approx(first.callback_metrics[name].item(), rel=1e-5)


def test_it_tests_and_predicts_with_images(tmp_path: Path) -> None:
    data = images()
    task = embedded(net(), tmp_path)
    trainer, _ = fit(task, data)
    during = trainer.callback_metrics["val/loss"].item()
    after = trainer.validate(task, datamodule=data, verbose=False)[0]["val/loss"]
    assert after == pytest.approx(during, rel=1e-5)
    task.net.features[0].weight.data.mul_(3)  # the features know nothing of it
    assert trainer.validate(task, datamodule=data, verbose=False)[0]["val/loss"] != pytest.approx(after, rel=1e-4)
    assert trainer.predict(task, datamodule=data)[0].shape == (1000, 10)


def test_the_second_fit_reads_what_the_first_one_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def count(self: nn.Module, arguments: Any) -> None:
        passed.append(len(arguments[0]))

    passed: list[int] = []
    made = net()
    made.features.register_forward_pre_hook(count)
    fit(embedded(made, tmp_path))
    file = next(tmp_path.glob("*.safetensors"))
    assert "1,270 images, not augmented" in capsys.readouterr().out
    assert sum(passed) == 1270 + 64  # and a few to check the head
    passed.clear()
    made.head[-1].reset_parameters()
    _, seen = fit(embedded(made, tmp_path, head_sizes=(5,)))  # another head sees the same features
    assert capsys.readouterr().out == f"embeddings: read from {file}\n"
    assert sum(passed) == 64
    assert seen.train == [(64, 8)] * 10
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "stale"])
def test_a_file_that_is_not_sound_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    fit(embedded(net(), tmp_path))
    file = next(tmp_path.glob("*.safetensors"))
    sound, whole = file.read_bytes(), copied(file)
    if damage == "cut":
        file.write_bytes(sound[:-100])
    elif damage == "flipped":
        file.write_bytes(sound[:-100] + bytes([sound[-100] ^ 1]) + sound[-99:])
    else:
        features = copied(file)
        features["train"] += damage == "stale"
        save_features(file, features, KEY if damage == "foreign" else key_of(file))
    capsys.readouterr()
    fit(embedded(net(), tmp_path))
    assert "not augmented" in capsys.readouterr().out
    torch.testing.assert_close(copied(file), whole, rtol=0, atol=0)


def copied(file: Path) -> dict[str, Tensor]:
    """What is loaded is the file itself, mapped into memory."""
    return {name: value.clone() for name, value in (load_features(file, key_of(file)) or {}).items()}


def key_of(file: Path) -> str:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        key: str = opened.metadata()["key"]
    return key


def test_what_decides_the_features_decides_their_name() -> None:
    def key(made: nn.Module, **facts: Any) -> str:
        return fingerprint(made, "head.2", **{"data": "a", "precision": "32-true", **facts})

    same = net()
    with torch.no_grad():
        same.head[-1].weight.zero_()
    assert key(net()) == key(same)
    other = net()
    other.features[1].num_batches_tracked += 1
    moved = net()
    moved.features[1].running_mean[0] += 1e-6
    keys = [key(n) for n in (net(), other, moved, net(pooling="avg"))]
    keys += [key(net(), data="b"), key(net(), precision="bf16-mixed")]
    assert len(set(keys)) == len(keys)


def test_other_data_or_another_split_is_another_file(tmp_path: Path) -> None:
    for data in (images(), images(split_seed=1), images(train_fraction=0.2), images(seed=3)):
        fit(embedded(net(), tmp_path), data)
    assert len(list(tmp_path.iterdir())) == 3  # the seed of the order changes no feature


def test_features_are_kept_in_the_precision_they_are_computed_in(tmp_path: Path) -> None:
    fit(embedded(net(), tmp_path), precision="bf16-mixed")
    file = next(tmp_path.iterdir())
    features = load_features(file, key_of(file))
    assert features is not None
    assert (features["train"].dtype, features["train"].shape) == (torch.bfloat16, (970, 8))


class Scaled(nn.Module):
    """Does something to the logits after its head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.backbone(images)) * 2
        return logits


def test_a_net_that_goes_on_after_its_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the head alone does not compute the net's logits.*mode frozen"):
        fit(embedded(Scaled(), tmp_path))


def test_a_head_may_begin_with_flattening(tmp_path: Path) -> None:
    _, seen = fit(embedded(net(global_pool=False, hidden_sizes=(6,)), tmp_path, head="head"))
    assert seen.train[0] == (64, 8 * 5 * 5)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot keep the features .*cache_dir"):
        fit(embedded(net(), tmp_path / "file"))


def test_loaders_of_ones_own_cannot_yield_features(tmp_path: Path) -> None:
    task = embedded(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), tmp_path)
    loader = torch.utils.data.DataLoader([(torch.zeros(1, 28, 28), 0)] * 4, batch_size=2)
    with pytest.raises(UserError, match="needs an ImageDataModule"):
        L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit(task, loader)


def test_no_validation_images_no_validation_features(tmp_path: Path) -> None:
    _, seen = fit(embedded(net(), tmp_path), images(val_size=0))
    assert seen.train == [(64, 8)] * 10


@pytest.mark.slow
def test_it_works_from_the_command_line_and_resumes(cli: Cli) -> None:
    words = ["--model=TransferTask", "--model.net=CNN", "--model.net.channels=[4,8]", "--model.net.hidden_sizes=[]"]
    words += ["--model.net.global_pool=true", "--model.mode=embeddings", "--model.scheduler=WarmupCosineLR"]
    words += ["--data.data_dir=d", "--data.train_fraction=0.1", "--trainer.enable_progress_bar=false"]
    assert cli("fit", *words, "--trainer.max_epochs=2", "--name=whole").code == 0
    assert len(list(Path("d/.cnnkit/embeddings").iterdir())) == 1
    whole = find("runs/whole")
    Path("stop_early.py").write_text(
        "import os, signal\n"
        "from lightning.pytorch.callbacks import Callback\n"
        "class Stop(Callback):\n"
        "    def on_train_batch_end(self, trainer, *args):\n"
        "        if trainer.global_step == 3:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    stop = '--trainer.callbacks=[{"class_path": "stop_early.Stop"}]'
    ended = cli("fit", *words, "--trainer.max_epochs=2", "--name=stopped", stop)
    assert ended.code == 143
    assert "embeddings: read from d/.cnnkit/embeddings/" in ended.out
    assert cli("fit", "--resume", "runs/stopped").code == 0
    one, other = (torch.load(run.last, weights_only=True)["state_dict"] for run in (whole, find("runs/stopped")))
    assert all(torch.equal(one[key], other[key]) for key in one)
    ended = cli("validate", "--run", "runs/whole")
    assert ended.code == 0
    assert "embeddings" not in ended.out
    assert whole.manifest()["validate"]["val/acc"] == pytest.approx(whole.manifest()["best"]["val/acc"], abs=2e-3)


def test_images_of_ones_own_are_decoded_once(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = torch.randint(0, 255, (28, 28, 3), dtype=torch.uint8, generator=generator).numpy()
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    photos = {"image_size": 28, "batch_size": 8, "num_workers": 0, "data_dir": str(tmp_path)}
    task = TransferTask(net(in_channels=3, num_classes=2), "embeddings")
    _, seen = fit(task, ImageFolder(str(tmp_path / "photos"), **photos))
    assert set(seen.train) == {(8, 8)}
    assert len(list((tmp_path / ".cnnkit" / "embeddings").iterdir())) == 1
