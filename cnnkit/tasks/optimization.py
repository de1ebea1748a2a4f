"""What a task has to do with its optimizer: building, clipping, and moving the learning rate."""

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
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
from cnnkit.optim.foresight import describe_useless
from cnnkit.optim.replay import KEY, Moves, follow_new_length
from cnnkit.tasks.tuning import read_rate, set_rate


class OptimizedModule(L.LightningModule):
    """A module with an optimizer and a schedule that somebody configured; `ClassificationTask` sets its attributes.

    Attributes:
        optimizer: called with the parameter groups.
        scheduler: called with the optimizer; None: a constant rate.
        schedule_interval: ``step``, ``epoch``, or ``auto``.
        monitor: what a schedule that waits for a plateau looks at.
        decay_norm_and_bias: whether biases and normalization parameters decay.
        schedule: the schedule of the fit that is running.
    """

    optimizer: Callable[..., Optimizer]
    scheduler: Callable[..., Any] | None
    schedule_interval: Literal["auto", "step", "epoch"]
    monitor: str
    decay_norm_and_bias: bool
    schedule: BuiltSchedule | None = None
    _moves = Moves()
    _length: RunLength | None = None  # if the schedule depends on it
    _resumed: dict[str, Any] | None = None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimizer's parameter groups; ``lr_scale`` in one is a factor on its learning rate."""
        return parameter_groups(self, decay_norm_and_bias=self.decay_norm_and_bias)

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule, in Lightning's form.

        Raises:
            UserError: either refuses an argument, or does not fit net, run or trainer.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        fused = fused_if_possible(self.optimizer, scaled and bool(self.trainer.gradient_clip_val))
        optimizer, contiguous = build_optimizer(self.optimizer, self.parameter_groups(), **fused)
        if scaled and isinstance(optimizer, LBFGS):
            raise UserError(
                "model.optimizer LBFGS evaluates a step many times, which 16-mixed cannot scale: use bf16-mixed"
            )
        if contiguous:
            self._say(f"{type(optimizer).__name__} reads weights as rows of numbers: they leave channels_last")
            _make_contiguous(self)
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
            every = self.trainer.check_val_every_n_epoch or 1  # there is nothing to look at in between
            config.update(reduce_on_plateau=True, monitor=self.monitor, frequency=every)
        self._moves = Moves(length=self._length)
        if self._resumed is not None:
            moves = Moves.unpack(self._resumed.get(KEY))
            follow_new_length(self.schedule, optimizer, moves, self._length, self._resumed)
            self._moves = (moves or Moves())._replace(length=self._length)
            self._resumed = None
        return {"optimizer": optimizer, "lr_scheduler": config}

    def on_train_start(self) -> None:
        """Look at the learning rates of the whole run before its first step."""
        run = self._measure_run() if self.schedule is not None and not self.schedule.plateau else None
        if self.schedule is None or run is None:
            return
        interval, count = self.schedule.interval, run.steps if self.schedule.interval == "step" else run.epochs
        rates = self.schedule.rates(count)
        if not self.schedule.notes:  # they say already what does not fit the run
            for note in describe_useless(self.schedule.facts["class"], interval, rates, count):
                self._say(note)

    @property
    def lr(self) -> float:
        """The optimizer's learning rate; setting it sets that of every optimizer that is built from then on."""
        return read_rate(self.optimizer)

    @lr.setter
    def lr(self, rate: float) -> None:
        set_rate(self, rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how far the schedule has come, for a resume with another length."""
        if self.schedule is not None:
            checkpoint[KEY] = self._moves.pack()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let `configure_optimizers` see what the run goes on from."""
        trainer = self._trainer  # none, if the task is rebuilt from a checkpoint alone
        self._resumed = checkpoint if trainer is not None and trainer.state.fn == TrainerFn.FITTING else None

    def measure_run(self) -> RunLength | None:
        """The length of the whole run, which the schedule then depends on; None for a run without end."""
        self._length = self._measure_run()
        return self._length

    def _measure_run(self) -> RunLength | None:
        """The optimizer steps and epochs of the whole run, over accumulated batches; None for a run without end."""
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
        """As Lightning; an optimizer that differentiates gradients once more gets them with their graph."""
        if not is_second_order(self.optimizers(use_pl_optimizer=False)):
            super().backward(loss, *args, **kwargs)
            return
        with warnings.catch_warnings():  # of a cycle of references, which zero_grad ends
            warnings.simplefilter("ignore")
            super().backward(loss, *args, create_graph=True, **kwargs)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As Lightning, which refuses to clip for a fused kernel in bf16-mixed, where no scaler is in its way."""
        plugin, algorithm = self.trainer.precision_plugin, self.trainer.gradient_clip_algorithm
        if not isinstance(plugin, MixedPrecision) or plugin.scaler is not None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            choice = {} if algorithm is None else {"gradient_clip_algorithm": algorithm}
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val, **choice)

    def check_accumulation(self) -> None:
        """Say it where an epoch ends before the batches of one step are there."""
        batches, wanted = self.trainer.num_training_batches, self.trainer.accumulate_grad_batches
        if wanted > batches:
            self._say(
                f"trainer.accumulate_grad_batches is {wanted}, but an epoch has {batches}: its one step takes "
                f"{batches}/{wanted} of a mean gradient"
            )

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Move the schedule; those of timm are told how many steps or epochs are over."""
        if self.schedule is None or scheduler is not self.schedule.scheduler:  # the learning rate finder's, say
            super().lr_scheduler_step(scheduler, metric)
        else:
            steps, epochs = self.global_step, self.current_epoch + 1
            self.schedule.move(scheduler.optimizer, steps, epochs, metric)
            self._moves = Moves(self._moves.made + 1, steps, epochs, self._moves.length)

    def _check_plateau(self, schedule: BuiltSchedule) -> None:
        """Refuse to wait for a plateau of what nobody measures, or on the wrong side of it."""
        data = getattr(self.trainer, "datamodule", None)
        validated = self.trainer.limit_val_batches != 0 and getattr(data, "val_size", 1) != 0
        if self.monitor.startswith("val/") and not validated:
            raise UserError(f"model.monitor is {self.monitor}, but nothing is validated: choose train/loss, say")
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


def _make_contiguous(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()
