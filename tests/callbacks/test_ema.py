"""The average of the weights, against one computed by hand from the weights after every step."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from cnnkit.callbacks import EMA, build_checkpoints
from cnnkit.errors import UserError

STEPS = 4  # an epoch
pytestmark = pytest.mark.filterwarnings("ignore")


class Line(L.LightningModule):
    """A weight that moves and a buffer that counts; notes both where it is validated."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.register_buffer("seen", torch.zeros(()))
        self.after_step: list[Tensor] = []
        self.validated: list[Tensor] = []

    def numbers(self) -> Tensor:
        return torch.stack([self.line.weight.detach().squeeze(), self.seen]).clone()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen += 1
        return ((self.line(batch) - 3) ** 2).mean()

    def on_train_batch_end(self, *args: Any) -> None:
        self.after_step.append(self.numbers())

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(self.numbers())
        self.log("val/acc", self.line.weight.squeeze())

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("test/weight", self.line.weight.squeeze())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05)


def make(folder: Path, callback: EMA, epochs: int = 3) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs,
        callbacks=[callback, *build_checkpoints(folder)],
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def loaders() -> dict[str, Any]:
    train = torch.utils.data.DataLoader(torch.linspace(1, 2, STEPS).unsqueeze(1))
    return {"train_dataloaders": train, "val_dataloaders": torch.utils.data.DataLoader(torch.ones(1, 1))}


def average(steps: list[Tensor], decay: float, every: int, start: int) -> list[Tensor]:
    """What is validated after each step: the net's own numbers until the first update, which takes them over."""
    found, mean = [], None
    for number, now in enumerate(steps, start=1):
        if number - start > 0 and (number - start) % every == 0:
            mean = now.clone() if mean is None else decay * mean + (1 - decay) * now
        found.append(now if mean is None else mean)
    return found


@pytest.mark.parametrize(("every", "start"), [(1, 0), (3, 0), (1, 6), (2, 5), (100, 0), (1, 100), (STEPS, 0)])
def test_what_is_validated_and_saved_is_the_average_since_it_started(tmp_path: Path, every: int, start: int) -> None:
    task = Line()
    trainer = make(tmp_path, EMA(0.7, every, start))
    trainer.fit(task, **loaders())
    expected = average(task.after_step, 0.7, every, start)
    at_ends = expected[STEPS - 1 :: STEPS]
    torch.testing.assert_close(torch.stack(task.validated), torch.stack(at_ends))
    torch.testing.assert_close(task.numbers(), at_ends[-1], msg="left in the net")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert float(saved["state_dict"]["line.weight"]) == pytest.approx(float(at_ends[-1][0]))
    assert float(saved["current_model_state"]["line.weight"]) == pytest.approx(float(task.after_step[-1][0]))
    # A score in Python after the fit, and of another checkpoint than the last weights
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    weight = float(best["state_dict"]["line.weight"])
    data = torch.utils.data.DataLoader(torch.ones(1, 1))
    assert trainer.test(task, data, verbose=False)[0]["test/weight"] == pytest.approx(float(at_ends[-1][0]))
    task.line.weight.data.zero_()
    scored = trainer.validate(task, data, ckpt_path=str(tmp_path / "best.ckpt"), verbose=False, weights_only=True)
    assert scored[0]["val/acc"] == pytest.approx(weight), "the checkpoint's weights, not the average of the fit"


@pytest.mark.parametrize(("every", "start"), [(1, 0), (1, 6), (3, 2)])
def test_a_resume_goes_on_with_both_sets_of_weights(tmp_path: Path, every: int, start: int) -> None:
    torch.manual_seed(0)
    whole = Line()
    first, second = Line(), Line()
    first.load_state_dict(whole.state_dict())
    make(tmp_path / "whole", EMA(0.7, every, start)).fit(whole, **loaders())
    make(tmp_path / "parts", EMA(0.7, every, start), epochs=1).fit(first, **loaders())
    resumed = make(tmp_path / "parts", EMA(0.7, every, start))
    resumed.fit(second, **loaders(), ckpt_path=str(tmp_path / "parts/last.ckpt"), weights_only=True)
    torch.testing.assert_close(torch.stack(second.validated), torch.stack(whole.validated[1:]))
    torch.testing.assert_close(second.numbers(), whole.numbers())


def test_a_second_fit_averages_again(tmp_path: Path) -> None:
    callback, task = EMA(0.7), Line()
    for number in range(2):
        make(tmp_path / str(number), callback, epochs=1).fit(task, **loaders())
    expected = average(task.after_step[STEPS:], 0.7, 1, 0)
    torch.testing.assert_close(task.validated[-1], expected[-1])


def test_an_average_that_never_starts_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, EMA(update_every_n_steps=100)).fit(Line(), **loaders())
    assert "first update would come after step 100, and the run has 12" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"update_every_n_steps": 0}, {"update_starting_at_step": -1}])
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        EMA(**wrong)
