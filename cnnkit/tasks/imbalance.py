"""The sizes of the classes: counted for loss and logits, and a warning if they differ much."""

from typing import TYPE_CHECKING, Any

from cnnkit.errors import UserError
from cnnkit.notices import printable, say

if TYPE_CHECKING:
    from cnnkit.tasks.classification import ClassificationTask

RATIO = 10  # of the largest to the smallest class, from which on a fit says so


def count_for_loss(task: "ClassificationTask", stage: str) -> None:
    """Give the loss, and the correction of the logits, the number of training images of each class, if they need it.

    Args:
        task: the task.
        stage: ``fit``, or another one, in which there is no training loss.

    Raises:
        UserError: they cannot be counted, or balanced batches make up for the sizes of the classes already.
    """
    data: Any = getattr(task.trainer, "datamodule", None)
    can_count = hasattr(data, "count_classes")
    if task.correction.tau and getattr(data, "sampling", "shuffle") == "balanced":
        raise UserError("model.posthoc_tau corrects what data.sampling balanced has corrected: leave one of them out")
    if stage == "fit":
        task.correction.temperatures = {}  # no temperature fits other weights
    if can_count and not task.multilabel and (task.correction.tau or stage == "fit"):
        task.correction.class_counts = data.count_classes()
    if not task.criterion.counts_classes or stage != "fit":
        return
    if not can_count:
        raise UserError(
            "model.class_weights balanced and loss logit_adjusted count the training images of a data module of "
            "cnnkit: train with one, or give class_weights as a list"
        )
    task.criterion.set_counts(data.count_classes(), data.class_names)


def report_imbalance(task: "ClassificationTask") -> None:
    """Say which class is the smallest if the largest is much larger and nothing makes up for it, or two things do."""
    data: Any = getattr(task.trainer, "datamodule", None)
    if task.multilabel or not hasattr(data, "count_classes"):
        return
    samples = getattr(data, "sampling", "shuffle") == "balanced"
    weighs = task.criterion.counts_classes or task.criterion.weights is not None
    if samples and task.criterion.counts_classes:
        say("data.sampling balanced already makes the classes equally frequent: the weights of the loss correct again")
    counts = data.count_classes()
    least, most = min(counts), max(counts)
    if samples or weighs or task.criterion.name == "focal" or most < RATIO * least:
        return
    small, large = (printable(data.class_names[counts.index(n)]) for n in (least, most))
    ratio = f" ({most / least:,.0f} times)" if least else ""
    say(
        f"classes of very different sizes: {least:,} training images of {small}, {most:,} of {large}{ratio}; "
        "model.class_weights balanced or data.sampling balanced gives small classes more weight, val/f1_macro judges it"
    )
