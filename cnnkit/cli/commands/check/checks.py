"""The table of all checks."""

from collections.abc import Callable, Iterator

from cnnkit.cli.commands.check import images, net, schedule, training
from cnnkit.cli.commands.check.subject import Finding, Subject

CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    net.check_logits,
    net.check_stem,
    net.check_stride,
    net.check_batch_norm,
    net.check_normalization,
    schedule.check_steps,
    schedule.check_milestones,
    schedule.check_warm_up,
    training.check_monitors,
    training.check_frozen_rate,
    training.check_backbone_rate,
    training.check_smoothing,
    training.check_precision,
    training.check_workers,
    images.check_flips,
    images.check_validation_classes,
    images.check_few_images,
    images.check_balance,
    images.check_same_images,
)
