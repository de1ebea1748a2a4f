"""Which epoch becomes best.ckpt: by the monitored score, ties by the validation loss, never by NaN."""

import math
from pathlib import Path

import lightning as L
import pytest
import torch

from cnnkit.callbacks import BestCheckpoint, WarnOnNaN, build_checkpoints
from cnnkit.errors import UserError

NAN = math.nan


class Scripted(L.LightningModule):
    """Logs of each epoch's validation what it is told to."""

    def __init__(self, epochs: list[dict[str, float]]) -> None:
        super().__init__()
        self.epochs, self.weight = epochs, torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight - 1) ** 2

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        for name, value in self.epochs[self.current_epoch].items():
            self.log(name, value)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    folder: Path, epochs: list[dict[str, float]], monitor: str = "val/acc", ckpt: str | None = None, until: int = 0
) -> BestCheckpoint:
    callbacks = build_checkpoints(folder, monitor)
    trainer = L.Trainer(
        max_epochs=until or len(epochs),
        callbacks=[*callbacks, WarnOnNaN()],
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = torch.utils.data.DataLoader(torch.zeros(2, 1))
    trainer.fit(Scripted(epochs), data, data, ckpt_path=ckpt)
    assert isinstance(callbacks[0], BestCheckpoint)
    return callbacks[0]


def scores(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"val/acc": acc, "val/loss": loss} for acc, loss in pairs]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        (scores((0.5, 0.9), (0.9, 0.4), (0.7, 0.1)), 2),
        (scores((1.0, 0.41), (1.0, 0.02), (1.0, 0.05)), 2),
        (scores((1.0, 0.41), (1.0, 0.41)), 1),
        (scores((0.5, 0.2), (1.0, 0.9), (1.0, 0.8)), 3),
        (scores((0.5, 0.5), (0.9, NAN), (0.4, 0.1)), 1),
        (scores((NAN, 0.5), (0.2, 0.6)), 2),
        (scores((0.9, math.inf), (0.2, 0.6)), 2),
        ([{"val/acc": 0.5}, {"val/acc": 0.5}, {"val/acc": 0.6}], 3),
    ],
)
def test_the_best_epoch(tmp_path: Path, epochs: list[dict[str, float]], best: int) -> None:
    found = fit(tmp_path, epochs)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == best - 1
    assert found.describe_best() == pytest.approx({**epochs[best - 1], "epoch": best, "step": 2 * best}, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_tie_is_broken_across_a_resume(tmp_path: Path) -> None:
    epochs = scores((0.8, 0.3), (1.0, 0.4), (1.0, 0.5), (1.0, 0.1), (1.0, 0.2))
    fit(tmp_path / "a", epochs, until=2)
    (tmp_path / "a").rename(tmp_path / "b")
    third = fit(tmp_path / "b", epochs, ckpt=str(tmp_path / "b/last.ckpt"), until=3)
    assert third.describe_best()["epoch"] == 2, "its loss of 0.4 is remembered"
    whole = fit(tmp_path / "b", epochs, ckpt=str(tmp_path / "b/last.ckpt"))
    assert whole.describe_best() == {"val/acc": 1.0, "val/loss": pytest.approx(0.1, rel=1e-6), "epoch": 4, "step": 8}
    assert torch.load(tmp_path / "b/best.ckpt", weights_only=True)["epoch"] == 3


@pytest.mark.filterwarnings("ignore")
def test_nothing_finite_is_no_best_and_is_said_once_an_epoch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = fit(tmp_path, scores((0.9, NAN), (0.9, NAN)))
    assert found.describe_best() == {}
    assert not (tmp_path / "best.ckpt").exists()
    assert (tmp_path / "last.ckpt").exists()
    said = [line for line in capfd.readouterr().err.splitlines() if "val/loss is nan" in line]
    assert [line[:8] for line in said] == ["epoch 1:", "epoch 2:"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("monitor", "best"), [("val/loss", 2), ("val/top1_error", 3), ("val/f1", 1)])
def test_the_direction_follows_from_the_name(tmp_path: Path, monitor: str, best: int) -> None:
    epochs = [{"val/loss": a, "val/top1_error": b, "val/f1": c} for a, b, c in [(3, 3, 3), (1, 2, 2), (2, 1, 1)]]
    assert fit(tmp_path, epochs, monitor).describe_best()["epoch"] == best


@pytest.mark.filterwarnings("ignore")
def test_the_first_validation_names_what_is_logged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"monitor: nothing is logged as 'val/f2'; .*there are val/acc, val/loss"):
        fit(tmp_path, scores((0.5, 0.5), (0.5, 0.5)), "val/f2")
