"""Distillation: the loss against one written by hand, and what a run keeps of its teacher."""

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from made_folders import fill
from short_trainer import trainer
from small_runs import SMALL, Cli
from torch import Tensor

import cnnkit
from cnnkit import CNN, AuxiliaryLossTask, DistillationTask, FashionMNISTSample
from cnnkit.callbacks import EMA
from cnnkit.distillation import distillation_loss, hash_weights
from cnnkit.errors import UserError
from cnnkit.inference.trained_net import rebuild_net
from cnnkit.runs import RunFolder, find
from cnnkit.transforms import MixUp
from cnnkit.weights.checkpoints import load_checkpoint

SGD = partial(torch.optim.SGD, lr=0.01)


def net() -> CNN:
    torch.manual_seed(0)
    return CNN(channels=(4, 8), hidden_sizes=(16,))


def start(task: DistillationTask, data: Any, **kwargs: Any) -> DistillationTask:
    """The task after a fit of one batch, with its teacher."""
    trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1, **kwargs).fit(task, datamodule=data)
    return task


def by_hand(student: Tensor, teacher: Tensor, labels: Tensor, t: float, w: float) -> Tensor:
    """Sums over images and classes of what Hinton et al. write, in float64."""
    total = torch.zeros((), dtype=torch.float64)
    for s, q, y in zip(student.double(), teacher.double(), labels, strict=True):
        p = [math.exp(float(v) / t) for v in q]
        p = [each / sum(p) for each in p]
        log_s = [v / t - torch.logsumexp(s / t, 0) for v in s]
        kl = sum(a * (math.log(a) - b) for a, b in zip(p, log_s, strict=True))
        ce = -sum(float(each) * (v - torch.logsumexp(s, 0)) for each, v in zip(y, s, strict=True))
        total = total + (1 - w) * ce + w * t**2 * kl
    return total / len(labels)


class OtherNormalization(FashionMNISTSample):
    mean, std = (0.1,), (0.7,)


@pytest.mark.parametrize(("t", "w"), [(1.0, 1.0), (4.0, 0.3), (2.5, 0.0)])
@pytest.mark.parametrize("soft", [False, True])
def test_loss_and_gradient_are_those_written_by_hand(trained_once: RunFolder, t: float, w: float, soft: bool) -> None:
    task = start(
        DistillationTask(net(), str(trained_once), teacher_temperature=t, teacher_weight=w, optimizer=SGD),
        FashionMNISTSample(),
    )
    images = torch.randn(5, 1, 28, 28)
    labels = torch.rand(5, 10).softmax(1) if soft else torch.arange(5)
    task.eval()
    task.zero_grad()
    loss, logits = task.compute_loss((images, labels))
    loss.backward()
    found = [p.grad.clone() for p in task.net.parameters() if p.grad is not None]
    teacher = rebuild_net(load_checkpoint(trained_once.best))
    assert teacher is not None
    hot = labels if soft else torch.eye(10)[labels]
    task.zero_grad()
    with torch.no_grad():
        answers = teacher.net(images)
    expected = by_hand(task.net(images), answers, hot, t, w)
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert torch.equal(logits, task.net(images))
    for one, parameter in zip(found, task.net.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-5, rtol=1e-3)


def test_a_student_equal_to_its_teacher_learns_nothing_from_it() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    loss = distillation_loss(logits, logits.detach(), 3.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_the_teacher_stays_as_it_is_and_is_no_part_of_the_task(trained_once: RunFolder, precision: str) -> None:
    task = DistillationTask(net(), str(trained_once), optimizer=SGD)
    names = set(task.state_dict())
    fitted = trainer(EMA(), max_epochs=1, limit_train_batches=3, precision=precision)
    fitted.fit(task, datamodule=FashionMNISTSample(augment=[MixUp()], batch_size=16))
    assert set(task.state_dict()) == names
    assert {id(p) for p in task.parameters()} == {id(p) for p in task.net.parameters()}
    [teacher] = task._teacher
    before = rebuild_net(load_checkpoint(trained_once.best))
    assert before is not None
    assert not any(module.training for module in teacher.modules())
    for name, value in before.state_dict().items():
        assert torch.equal(value, teacher.state_dict()[name])
    scores = fitted.callback_metrics
    main, by_teacher = float(scores["train/loss_main"]), float(scores["train/loss_teacher"])
    assert float(scores["train/loss"]) == pytest.approx((main + by_teacher) / 2, rel=1e-3)


def test_every_epoch_has_the_means_of_its_own_steps(trained_once: RunFolder) -> None:
    seen: list[list[float]] = [[]]

    class Counting(DistillationTask):
        def compute_loss(self, batch: Any) -> tuple[Tensor, Tensor]:
            loss, logits = super().compute_loss(batch)
            answers = self.ask_teacher(batch[0])
            seen[-1].append(float(distillation_loss(logits, answers, 4.0).detach()))
            return loss, logits

        def on_train_epoch_end(self) -> None:
            super().on_train_epoch_end()
            found.append(float(self.teacher_loss.compute()))
            seen.append([])

    found: list[float] = []
    task = Counting(net(), str(trained_once), optimizer=SGD)
    trainer(max_epochs=2, limit_train_batches=3).fit(task, datamodule=FashionMNISTSample(batch_size=16))
    assert found == pytest.approx([sum(each) / len(each) for each in seen[:2]], rel=1e-4)


def test_auxiliary_losses_are_the_means_of_their_epoch_too() -> None:
    means: list[float] = []
    seen: list[list[float]] = [[]]

    class Counting(AuxiliaryLossTask):
        def compute_loss(self, batch: Any) -> tuple[Tensor, Tensor]:
            loss, logits = super().compute_loss(batch)
            seen[-1].append(float(self.criterion(logits, batch[1]).detach()))
            return loss, logits

        def on_train_epoch_end(self) -> None:
            super().on_train_epoch_end()
            means.append(float(self.main_loss.compute()))
            seen.append([])

    task = Counting(net(), after=["features.0"], optimizer=partial(torch.optim.SGD, lr=0.1))
    trainer(max_epochs=2, limit_train_batches=3).fit(task, datamodule=FashionMNISTSample(batch_size=16))
    assert means == pytest.approx([sum(each) / len(each) for each in seen[:2]], rel=1e-4)


def test_the_teacher_gets_its_own_normalization(trained_once: RunFolder) -> None:
    own = FashionMNISTSample()
    other = OtherNormalization()
    task = start(DistillationTask(net(), str(trained_once), optimizer=SGD), other)
    batch = next(iter(other.val_dataloader()))
    images, _ = other.prepare(batch, training=False)
    of_teacher, _ = own.prepare(batch, training=False)
    teacher = rebuild_net(load_checkpoint(trained_once.best))
    assert teacher is not None
    assert not torch.allclose(images, of_teacher)
    with torch.no_grad():
        torch.testing.assert_close(task.ask_teacher(images), teacher.net(of_teacher), atol=1e-4, rtol=1e-4)


def test_a_run_records_its_teacher_and_keeps_to_it(cli: Cli, trained_once: RunFolder) -> None:
    shutil.copytree(trained_once.path, Path("runs/big", trained_once.path.name))
    words = ["--model=DistillationTask", "--model.teacher=runs/big", "--name=pupil"]
    ended = cli("fit", *words, *SMALL)
    assert ended.code == 0, ended.err
    run = find("runs/pupil")
    manifest = run.manifest()
    weights = load_checkpoint(find("runs/big").best)["state_dict"]
    assert manifest["teacher"]["sha256"] == hash_weights(weights)
    assert manifest["net"]["parameters"] == trained_once.manifest()["net"]["parameters"]
    assert any("train/loss_teacher" in row for row in cnnkit.TrainedRun(run).metrics)
    assert cli("calibrate", "--run", "runs/big").code == 0  # the same weights
    resumed = cli("fit", "--resume", "runs/pupil", "--trainer.max_epochs=2")
    assert resumed.code == 0, resumed.err
    changed = load_checkpoint(find("runs/big").best)
    next(iter(changed["state_dict"].values())).add_(1)
    torch.save(changed, find("runs/big").best)
    resumed = cli("fit", "--resume", "runs/pupil", "--trainer.max_epochs=3")
    assert resumed.code == 2
    assert "has other weights than the teacher that this run began with" in resumed.err
    shutil.rmtree("runs/big")  # a net predicts without its teacher
    assert cli("test", "--run", "runs/pupil").code == 0
    assert len(cnnkit.load(run.path).predict(FashionMNISTSample().open().test_images[:2])) == 2
    lost = cli("fit", "--resume", "runs/pupil", "--trainer.max_epochs=3")
    assert lost.code == 2
    assert "model.teacher: runs/big: no such run folder" in lost.err


def test_mistakes_are_said_before_the_training(cli: Cli, trained_once: RunFolder) -> None:
    fill(Path("photos"), {"blue": 8, "red": 8, "green": 8})
    folder = ["--data=ImageFolder", "--data.root=photos", "--data.data_dir=data", "--data.image_size=28"]
    teacher = f"--model.teacher={trained_once}"
    for words, expected in (
        ([teacher, *folder], "has 10 classes (T-shirt/top"),
        (["--model.teacher=runs/none"], "model.teacher: runs/none: no such run folder"),
        (["--model.teacher=none.ckpt"], "model.teacher: none.ckpt: no such"),
        ([], "model.teacher"),
        ([teacher, "--model.teacher_weight=1.5"], "teacher_weight is 1.5: give a number from 0 to 1"),
        ([teacher, "--model.teacher_temperature=0"], "teacher_temperature is 0"),
        ([teacher, "--model.multilabel=true"], "DistillationTask has one class an image"),
    ):
        ended = cli("fit", "--model=DistillationTask", *words, *SMALL)
        assert ended.code == 2, ended.err
        assert expected in ended.err
        assert len(ended.err.splitlines()) <= 3, ended.err
        assert not list(Path("runs").glob("*/*")) if Path("runs").exists() else True


def test_a_custom_loader_is_refused(trained_once: RunFolder) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.zeros(4, 1, 28, 28), torch.arange(4)))
    with pytest.raises(UserError, match="can be compared only with a data module"):
        trainer().fit(DistillationTask(net(), str(trained_once), optimizer=SGD), loader)
