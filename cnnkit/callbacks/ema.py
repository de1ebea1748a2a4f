"""Exponential moving average of the weights."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn

from cnnkit.errors import UserError
from cnnkit.notices import say


class EMA(EMAWeightAveraging):
    """Validates and saves with an exponential moving average of the weights (Polyak and Juditsky 1992).

    The first update copies the weights; until then the net's own are validated and saved. Checkpoints hold the averaged
    weights as ``state_dict`` and the raw ones beside them for a resume.

    Args:
        decay: weight of the old average at each update.
        update_every_n_steps: steps between updates, and before the first one.
        update_starting_at_step: first step that counts, counted from 0.
        use_buffers: average buffers such as batch norm's statistics as well.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int = 0,
        use_buffers: bool = True,
    ) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}: give a share from 0 up to, not including, 1")
        if update_every_n_steps < 1:
            raise UserError(f"update_every_n_steps is {update_every_n_steps}: give at least 1")
        if update_starting_at_step < 0:
            raise UserError(f"update_starting_at_step is {update_starting_at_step}: give 0 or more")
        super().__init__(
            decay=decay,
            update_every_n_steps=update_every_n_steps,
            update_starting_at_step=update_starting_at_step,
            use_buffers=use_buffers,
        )
        self._first = update_starting_at_step + update_every_n_steps  # steps until the first update

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.load_state_dict({"latest_update_step": 0})

    @property
    def has_started(self) -> bool:
        """Whether there is an average; before the first update it is the untrained net."""
        return int(self.state_dict()["latest_update_step"]) > 0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Update after every n-th step that counts; Lightning's callback would also update after the first."""
        if step_idx is None:
            return False
        return step_idx + 1 >= self._first and (step_idx + 1 - self._first) % self.update_every_n_steps == 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        steps = trainer.estimated_stepping_batches
        if steps < self._first:
            say(
                f"EMA: the first update would come after step {self._first}, and the run has {steps:.0f}: nothing is "
                "averaged; lower update_starting_at_step or update_every_n_steps"
            )

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Use the average, but only within a fit: `Trainer.validate` has loaded the weights that it needs."""
        if trainer.state.fn == TrainerFn.FITTING and self.has_started:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and self.has_started:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.has_started:
            super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save both sets of weights; the net's own twice until there is an average."""
        own = checkpoint["state_dict"]
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if not self.has_started:
            checkpoint["state_dict"] = own

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Load both sets of weights, but only to resume training.

        Lightning's own hook always loads the raw weights: `Trainer.test` after `Trainer.fit` would test the wrong ones.
        """
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
