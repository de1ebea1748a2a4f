"""The part of a task that builds the optimizer and its schedule, clips gradients and moves the learning rate."""

import math
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

import lightning as L
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from cnnkit.errors import UserError
from cnnkit.optim import (
    BuiltSchedule,
    RunLength,
    build_optimizer,
    build_schedule,
    fused_if_possible,
    is_second_order,
    parameter_groups,
    scale_rates,
)
from cnnkit.optim.factories import read_argument
from cnnkit.optim.preview import describe_useless
from cnnkit.optim.resume import KEY, Moves, follow_new_length
from cnnkit.recorded import Recorded
from cnnkit.tasks.finders import spread_trial_rate
from cnnkit.weights import skip_pretrained


class ModuleWithOptimizer(Recorded, L.LightningModule):
    """A module with a configured optimizer and schedule; the first attributes are arguments of `ClassificationTask`."""

    optimizer: Callable[..., Optimizer]
    scheduler: Callable[..., Any] | None
    schedule_interval: Literal["auto", "step", "epoch"]
    monitor: str
    decay_norm_and_bias: bool
    schedule: BuiltSchedule | None = None  # of the current fit
    _moves = Moves()
    _length: RunLength | None = None  # set if the schedule depends on it
    _resumed: dict[str, Any] | None = None  # the checkpoint from which the fit resumes

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **kwargs: Any,
    ) -> Self:
        """Load as Lightning does, but only weights and plain values, and without fetching pretrained weights."""
        with skip_pretrained():
            return super().load_from_checkpoint(
                checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs
            )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's parameter groups; ``lr_scale`` in a group is a factor on its learning rate."""
        return parameter_groups(self, decay_norm_and_bias=self.decay_norm_and_bias)

    def configure_optimizers(self) -> Any:
        """Build the optimizer and its schedule, in Lightning's form.

        Raises:
            UserError: one of them refuses an argument, or does not fit the net, the run or the trainer.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        fused = fused_if_possible(self.optimizer, scaled and bool(self.trainer.gradient_clip_val))
        optimizer, contiguous = build_optimizer(self.optimizer, self.parameter_groups(), **fused)
        if scaled and isinstance(optimizer, LBFGS):
            raise UserError(
                "model.optimizer LBFGS evaluates a step several times, which 16-mixed cannot scale: use bf16-mixed"
            )
        if contiguous:
            self._say(f"{type(optimizer).__name__} needs contiguous weights: they leave channels_last")
            self.to(memory_format=torch.contiguous_format)
        scale_rates(optimizer)
        self.schedule = self._length = None
        if self.scheduler is None:
            return optimizer
        self.schedule = build_schedule(self.scheduler, optimizer, self.schedule_interval, self.measure_run)
        for note in self.schedule.notes:
            self._say(note)
        config: dict[str, Any] = {"scheduler": self.schedule.scheduler, "interval": self.schedule.interval}
        if self.schedule.plateau:
            self._check_plateau(self.schedule)
            every = self.trainer.check_val_every_n_epoch or 1  # there is no new value in between
            config.update(reduce_on_plateau=True, monitor=self.monitor, frequency=every)
        self._moves = Moves(length=self._length)
        if self._resumed is not None:
            moves = Moves.unpack(self._resumed.get(KEY))
            follow_new_length(self.schedule, optimizer, moves, self._length, self._resumed)
            self._moves = moves._replace(length=self._length)
            self._resumed = None
        return {"optimizer": optimizer, "lr_scheduler": config}

    def on_train_start(self) -> None:
        """Check the learning rates of the whole run before its first step."""
        for config in self.trainer.lr_scheduler_configs:
            spread_trial_rate(config.scheduler)
        schedule = self.schedule
        if schedule is None or schedule.plateau or (run := self._measure_run()) is None:
            return
        count = run.count_moves(schedule.interval)
        rates = schedule.rates(count)
        if not schedule.notes:  # else the user knows already that the schedule does not fit the run
            for note in describe_useless(schedule.facts["class"], schedule.interval, rates, count):
                self._say(note)

    @property
    def lr(self) -> float:
        """The optimizer's learning rate; a new value is used by every optimizer that is built afterwards."""
        rate = read_argument(self.optimizer, "lr")
        if not isinstance(rate, (int, float)):  # a finder sees that there is no attribute to set
            raise AttributeError("the optimizer has no learning rate called lr")
        return float(rate)

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer = partial(self.optimizer, lr=rate)
        saved = self.hparams.get("optimizer")
        if isinstance(saved, dict):
            saved["init_args"] = {**(saved.get("init_args") or {}), "lr": rate}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save how far the schedule has moved, for a resume with another length."""
        if self.schedule is not None:
            checkpoint[KEY] = self._moves.pack()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint for `configure_optimizers` if a fit resumes from it."""
        trainer = self.attached_trainer
        self._resumed = checkpoint if trainer is not None and trainer.state.fn == TrainerFn.FITTING else None

    @property
    def attached_trainer(self) -> L.Trainer | None:
        """The trainer; None for a task that is rebuilt from a checkpoint alone."""
        try:
            return self.trainer
        except RuntimeError:
            return None

    def measure_run(self) -> RunLength | None:
        """Return the length of the run, and note that the schedule depends on it; None for a run without end."""
        self._length = self._measure_run()
        return self._length

    def _measure_run(self) -> RunLength | None:
        trainer = self.trainer
        steps = trainer.estimated_stepping_batches  # sets the loaders up
        if not 0 < steps < math.inf:
            return None
        batches = trainer.num_training_batches
        growing = [c for c in trainer.callbacks if isinstance(c, GradientAccumulationScheduler)]  # type: ignore[attr-defined]
        if not growing or trainer.max_epochs in (None, -1):
            each = math.ceil(batches / trainer.accumulate_grad_batches) if batches < math.inf else steps
            return RunLength(int(steps), math.ceil(steps / each))
        made, epoch = 0, 0
        limit = math.inf if trainer.max_steps == -1 else trainer.max_steps
        while epoch < (trainer.max_epochs or 0) and made < limit:
            made += math.ceil(batches / growing[0].get_accumulate_grad_batches(epoch))
            epoch += 1
        return RunLength(int(min(made, limit)), epoch)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Do as Lightning, but keep the graph of the gradients for an optimizer that needs second derivatives."""
        if not is_second_order(self.optimizers(use_pl_optimizer=False)):
            super().backward(loss, *args, **kwargs)
            return
        with warnings.catch_warnings():  # torch warns of a reference cycle, which zero_grad ends
            warnings.simplefilter("ignore")
            super().backward(loss, *args, create_graph=True, **kwargs)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Do as Lightning, but clip for a fused kernel in bf16-mixed, too: it has no scaler."""
        plugin, algorithm = self.trainer.precision_plugin, self.trainer.gradient_clip_algorithm
        if not isinstance(plugin, MixedPrecision) or plugin.scaler is not None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            choice = {} if algorithm is None else {"gradient_clip_algorithm": algorithm}
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val, **choice)

    def check_accumulation(self) -> None:
        """Print a note if an epoch has fewer batches than one step accumulates."""
        batches, wanted = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        if wanted > batches:
            self._say(
                f"trainer.accumulate_grad_batches is {wanted}, but an epoch has {batches}: its one step takes "
                f"{batches}/{wanted} of a mean gradient"
            )

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Move the schedule; timm's schedules need the number of steps or epochs that are over."""
        if self.schedule is None or scheduler is not self.schedule.scheduler:  # such as the learning rate finder's
            super().lr_scheduler_step(scheduler, metric)
            spread_trial_rate(scheduler)
        else:
            steps, epochs = self.global_step, self.current_epoch + 1
            self.schedule.move(scheduler.optimizer, steps, epochs, metric)
            self._moves = Moves(self._moves.made + 1, steps, epochs, self._moves.length)

    def _check_plateau(self, schedule: BuiltSchedule) -> None:
        """Refuse a plateau of a metric that is never measured, or in the wrong direction."""
        data = getattr(self.trainer, "datamodule", None)
        validated = self.trainer.limit_val_batches != 0 and getattr(data, "val_size", 1) != 0
        if self.monitor.startswith("val/") and not validated:
            raise UserError(f"model.monitor is {self.monitor}, but nothing is validated: choose train/loss")
        plateau: Any = getattr(schedule.scheduler, "plateau", None) or schedule.scheduler
        right = {"loss": "min", "acc": "max"}.get(self.monitor.rpartition("/")[2], plateau.mode)
        if plateau.mode != right:
            raise UserError(
                f"model.scheduler.mode is {plateau.mode}, but {self.monitor} is best at its {right}imum: "
                f"set it to {right}"
            )

    def _say(self, note: str) -> None:
        if self.trainer.is_global_zero:
            print(f"note: {note}", file=sys.stderr)
