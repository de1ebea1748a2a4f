"""Lightning's pruning and detection of spikes, corrected."""

import lightning as L
from lightning.pytorch.callbacks import ModelPruning as LightningModelPruning
from lightning.pytorch.callbacks import SpikeDetection as LightningSpikeDetection
from lightning.pytorch.trainer.states import TrainerFn
from torchmetrics.wrappers import Running


class ModelPruning(LightningModelPruning):
    """Sets the smallest weights to zero, and keeps them there; see Lightning's class of this name for its arguments.

    Lightning's prunes after an epoch's validation and before its checkpoint is saved, so that the scores are those of
    another net. Here the net is pruned, once an epoch, before the validation at the epoch's end; after an epoch without
    one, at its end. ``prune_on_train_epoch_end=False`` prunes before every validation and at no other time.
    """

    _pruned_epoch = -1

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        super().on_validation_epoch_end(trainer, pl_module)  # prunes only with prune_on_train_epoch_end=False
        if trainer.is_last_batch:
            self._prune_once(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do nothing: the net that was scored stays as it is."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._prune_once(trainer, pl_module)

    def _prune_once(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._pruned_epoch != trainer.current_epoch:
            self._pruned_epoch = trainer.current_epoch
            super().on_train_epoch_end(trainer, pl_module)  # prunes unless prune_on_train_epoch_end=False


class SpikeDetection(LightningSpikeDetection):
    """Ends a run whose loss jumps, and writes down which batches to leave out; see Lightning's class of this name.

    After a resume Lightning's class looks for its running mean under another name. The mean itself starts again.
    """

    @property
    def running(self) -> Running:
        """The running mean of the loss, under the name that `load_state_dict` looks for."""
        return self.running_mean
