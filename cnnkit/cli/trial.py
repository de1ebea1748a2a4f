"""Builds a configuration with a trainer that leaves nothing behind, for searches before a run."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, ProgressBar, Timer
from torch import Tensor

from cnnkit.cli.cores import use_free_cores
from cnnkit.cli.errors.messages import name_trainer_argument
from cnnkit.cli.fit.callbacks import FINDERS
from cnnkit.cli.fit.trainer_values import check_device, choose_precision
from cnnkit.cli.parsing.build import build_from_config
from cnnkit.config_files.scalars import as_word
from cnnkit.errors import UserError
from cnnkit.precision import resolve_device
from cnnkit.tasks.optimization import ModuleWithOptimizer

_LEFT_OUT = (*FINDERS, Checkpoint, ProgressBar, Timer)  # of the user's callbacks
_WHOLE = ("fast_dev_run", "barebones", "overfit_batches")  # arguments under which a search would find something else
_OTHERS = {  # in place of the configuration's
    **dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False),
    **{"devices": 1, "num_nodes": 1, "num_sanity_val_steps": 0, "max_time": None, "min_epochs": None},
    **{"max_steps": -1, "min_steps": None, "profiler": None},
    # Never: a validation would take its time in each of the epochs that pass.
    **{"check_val_every_n_epoch": None, "val_check_interval": 10**9},
}


class Trial(NamedTuple):
    """A task, its data and a trainer of one device, which trains as a fit would and writes no run folder.

    Attributes:
        schedule: the factory of the task's schedule, which the search leaves out; None if there is none.
    """

    task: ModuleWithOptimizer
    data: L.LightningDataModule
    trainer: L.Trainer
    schedule: Callable[..., Any] | None

    def watch_steps(
        self, before: Callable[[Any], None] | None = None, after: Callable[[Tensor], None] | None = None
    ) -> None:
        """Call functions at each training step: Lightning calls no callback but its own during a search.

        Args:
            before: called with the batch.
            after: called with the loss.
        """
        step = self.task.training_step

        def training_step(batch: Any, *rest: Any) -> Any:
            if before is not None:
                before(batch)
            found = step(batch, *rest)
            loss = found["loss"] if isinstance(found, Mapping) else found
            if after is not None and isinstance(loss, Tensor):
                after(loss.detach())
            return found

        self.task.training_step = training_step  # type: ignore[method-assign]


@contextmanager
def open_trial(words: Sequence[str], steps: int) -> Iterator[Trial]:
    """Build what a search trains; its temporary files are gone at the end.

    The schedule is left out. Of the user's callbacks those stay that set something up, such as `Whitening`: during a
    search Lightning calls no other hook of them.

    Args:
        words: as for `fit`.
        steps: optimizer steps that the search needs.

    Raises:
        UserError: for a mistake in the words, or a task whose optimizer is unknown; also for what Lightning refuses
            within the context.
    """
    built = build_from_config(words, pretrained=True)
    arguments = vars(built.trainer)
    if used := next((name for name in _WHOLE if arguments.get(name)), None):
        raise UserError(f"trainer.{used} is {as_word(arguments[used])}: a search needs whole epochs; leave it out")
    if not isinstance(built.task, ModuleWithOptimizer):
        raise UserError(
            f"model {type(built.task).__name__} is no ClassificationTask, so its learning rate is unknown: search with "
            "Lightning's LearningRateFinder in trainer.callbacks"
        )
    check_device(arguments)
    if resolve_device(str(arguments["accelerator"])) == "cpu":
        use_free_cores()
    precision, _ = choose_precision(built.trainer, built.task, announce=False)
    given = arguments["callbacks"] or []
    callbacks = [c for c in (given if isinstance(given, list) else [given]) if not isinstance(c, _LEFT_OUT)]
    epochs = max(arguments["max_epochs"] or 1, steps * (arguments["accumulate_grad_batches"] or 1))
    schedule, built.task.scheduler = built.task.scheduler, None
    with TemporaryDirectory(prefix="cnnkit-") as folder:
        ours = {**_OTHERS, "callbacks": callbacks, "precision": precision, "default_root_dir": folder}
        with name_trainer_argument(arguments):
            trainer = L.Trainer(**{**arguments, **ours, "max_epochs": epochs})
        if arguments["devices"] not in ("auto", 1, "1"):
            print(f"note: trainer.devices is {arguments['devices']}; the search uses one device", file=sys.stderr)
        try:
            yield Trial(built.task, built.data, trainer, schedule)
        except MisconfigurationException as error:
            raise UserError(f"the search cannot run: {' '.join(str(error).split())}") from error
