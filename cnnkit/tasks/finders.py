"""Lightning's finders and pruning: what has to follow from them before the first step."""

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder, ModelPruning

from cnnkit.errors import UserError
from cnnkit.optim.factories import list_other_rates, read_name, split_factory
from cnnkit.optim.groups import RATIO

if TYPE_CHECKING:
    from cnnkit.tasks.classification import ClassificationTask

_RANGE_TEST = "lightning.pytorch.tuner.lr_finder"  # the module of the schedules of Lightning's range test


def follow_finders(task: "ClassificationTask") -> None:
    """Build optimizer and schedule again if a finder ran at the start of the fit.

    Lightning writes the found rate into every group and does not change the schedule. So the ratios between groups are
    lost, and the next step of the schedule restores the old rate. Another batch size changes the steps of an epoch.

    Raises:
        UserError: the finder found no rate, or the rate would have no effect.
    """
    finders = [c for c in task.trainer.callbacks if isinstance(c, (LearningRateFinder, BatchSizeFinder))]  # type: ignore[attr-defined]
    for finder in finders:
        if (result := getattr(finder, "optimal_lr", None)) is not None:
            _check_rate(task, result)
    if finders:
        task.trainer.strategy.setup_optimizers(task.trainer)


def _check_rate(task: "ClassificationTask", result: Any) -> None:
    if result.suggestion() is None:
        raise UserError(
            f"trainer.callbacks: LearningRateFinder saw {len(result.results['loss'])} steps, too few for a suggestion: "
            "it leaves out the first 10; raise its num_training_steps, or trainer.max_epochs and limit_train_batches"
        )
    if others := list_other_rates(task.optimizer):
        raise UserError(
            f"trainer.callbacks: LearningRateFinder finds one rate, and {read_name(task.optimizer)} has several (lr, "
            f"{', '.join(others)}): leave it out; `cnnkit find-lr` scales them together"
        )
    if task.scheduler is not None and "max_lr" in split_factory(task.scheduler)[1]:
        raise UserError(
            f"trainer.callbacks: LearningRateFinder sets model.optimizer.lr, which {read_name(task.scheduler)} "
            "replaces by its max_lr: leave the schedule out to find a rate, then give that as max_lr"
        )


def prepare_pruning(task: "ClassificationTask") -> None:
    """Store the weights contiguously if a callback prunes them: torch prunes a flat view of them."""
    if any(isinstance(c, ModelPruning) for c in task.trainer.callbacks):  # type: ignore[attr-defined]
        task.net.to(memory_format=torch.contiguous_format)


def spread_trial_rate(schedule: Any) -> None:
    """Let the groups of an optimizer keep their ratios during Lightning's range test, which sets one rate for all.

    In a training, too, a backbone trains at its share of the rate, and a group with a rate of its own, such as that of
    MuonSGD's ``vector_lr``, keeps its ratio to it.

    Args:
        schedule: of the trainer; nothing happens if it is no range test's.
    """
    if type(schedule).__module__ == _RANGE_TEST:
        (trial, *_) = schedule.get_last_lr()
        for group in schedule.optimizer.param_groups:
            group["lr"] = trial * group.get(RATIO, 1.0)
