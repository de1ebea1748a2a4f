"""Optimizers and learning-rate schedules: groups of parameters, lengths that follow from the run, what is refused."""

from cnnkit.optim.compose import has_parts
from cnnkit.optim.curves import TriangleLR, WarmupCosineLR, triangle, warmup_cosine
from cnnkit.optim.factories import plain_factory
from cnnkit.optim.groups import decay_groups, parameter_groups
from cnnkit.optim.length import (
    RunLength,
    SchedulePlan,
    fill_length,
    find_length_argument,
    find_length_default,
    length_arguments,
    plan_schedule,
)
from cnnkit.optim.optimizers import build_optimizer, fused_if_possible, is_second_order
from cnnkit.optim.rates import common_rates, scale_rates
from cnnkit.optim.schedule import BuiltSchedule, CountedSchedule, ScheduleFactory, UpdateSchedule, build_schedule
from cnnkit.optim.timm_optimizer import TimmOptimizer

__all__ = [
    "BuiltSchedule",
    "CountedSchedule",
    "RunLength",
    "ScheduleFactory",
    "SchedulePlan",
    "TimmOptimizer",
    "TriangleLR",
    "UpdateSchedule",
    "WarmupCosineLR",
    "build_optimizer",
    "build_schedule",
    "common_rates",
    "decay_groups",
    "fill_length",
    "find_length_argument",
    "find_length_default",
    "fused_if_possible",
    "has_parts",
    "is_second_order",
    "length_arguments",
    "parameter_groups",
    "plain_factory",
    "plan_schedule",
    "scale_rates",
    "triangle",
    "warmup_cosine",
]
