"""What Lightning's finders set, and what must follow from it before the first step."""

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder, ModelPruning

from cnnkit.errors import UserError

if TYPE_CHECKING:
    from cnnkit.tasks.classification import ClassificationTask
    from cnnkit.tasks.optimization import OptimizedModule


def read_rate(factory: Any) -> float:
    """The learning rate that an optimizer's factory gives.

    Raises:
        AttributeError: it takes none by that name, so that there is no attribute for a finder to set.
    """
    given = factory.keywords if isinstance(factory, partial) else {}
    argument = inspect.signature(factory).parameters.get("lr")
    rate = given.get("lr", argument.default if argument is not None else None)
    if not isinstance(rate, (int, float)):
        raise AttributeError("the optimizer has no learning rate called lr")
    return float(rate)


def set_rate(task: "OptimizedModule", rate: float) -> None:
    """Make the optimizer's factory, and what a checkpoint holds of it, say another learning rate.

    Args:
        task: whose optimizer.
        rate: the new one.
    """
    task.optimizer = partial(task.optimizer, lr=rate)
    held = task.hparams.get("optimizer")
    if isinstance(held, dict):
        held["init_args"] = {**(held.get("init_args") or {}), "lr": rate}


def follow_finders(task: "ClassificationTask") -> None:
    """Rebuild optimizer and schedule after a finder, at a fit's start, when neither has made a step.

    Lightning writes a found rate over that of every group and leaves the schedule as it was: the ratios between groups
    are gone, and the schedule's next step brings the old rate back. Another batch size means other steps an epoch.

    Raises:
        UserError: the finder found nothing, or what it found would have no effect.
    """
    finders = [c for c in task.trainer.callbacks if isinstance(c, (LearningRateFinder, BatchSizeFinder))]  # type: ignore[attr-defined]
    for finder in finders:
        found = getattr(finder, "optimal_lr", None)
        if found is not None:
            _check_found(task, found)
    if finders:
        task.trainer.strategy.setup_optimizers(task.trainer)


def _check_found(task: "ClassificationTask", found: Any) -> None:
    if found.suggestion() is None:
        raise UserError(
            f"trainer.callbacks: LearningRateFinder saw {len(found.results['loss'])} steps, too few for a suggestion: "
            "it leaves out the first 10; raise its num_training_steps, or trainer.max_epochs and limit_train_batches"
        )
    scheduler = task.scheduler
    given: dict[str, Any] = getattr(scheduler, "keywords", {})
    if "max_lr" in given:
        name = getattr(scheduler, "func", scheduler)
        raise UserError(
            f"trainer.callbacks: LearningRateFinder sets model.optimizer.lr, which {getattr(name, '__name__', name)} "
            "replaces by its max_lr: leave the schedule out to find a rate, then give that as max_lr"
        )


def unstride(task: "ClassificationTask") -> None:
    """Store the weights contiguously where they are pruned: torch prunes a flat view of them.

    Args:
        task: before its first step.
    """
    if any(isinstance(c, ModelPruning) for c in task.trainer.callbacks):  # type: ignore[attr-defined]
        task.net.to(memory_format=torch.contiguous_format)
