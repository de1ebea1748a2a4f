"""Exponential moving average of the weights."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn


class EMA(EMAWeightAveraging):
    """Validates and saves with an exponential moving average of the weights (Polyak and Juditsky 1992).

    Checkpoints hold the averaged weights as ``state_dict`` and the raw ones beside them for a resume.

    Args:
        decay: weight of the old average at each update.
        update_every_n_steps: steps between updates.
        update_starting_at_step: first step that counts, counted from 0.
        use_buffers: average buffers such as batch norm's statistics as well.
    """

    def __init__(
        self,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int = 0,
        use_buffers: bool = True,
    ) -> None:
        super().__init__(
            decay=decay,
            update_every_n_steps=update_every_n_steps,
            update_starting_at_step=update_starting_at_step,
            use_buffers=use_buffers,
        )

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with both sets of weights, but only when training goes on.

        Lightning's own hook puts the raw weights back whatever the checkpoint is loaded for, so that `Trainer.test`
        after `Trainer.fit` would test the wrong ones.
        """
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
