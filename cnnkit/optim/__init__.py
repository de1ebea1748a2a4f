"""Optimizers and learning-rate schedules: parameter groups, schedules as long as the run, early checks."""

from cnnkit.optim.curves import TriangleLR, WarmupCosineLR
from cnnkit.optim.factories import plain_factory
from cnnkit.optim.groups import common_rates, decay_groups, parameter_groups, scale_rates
from cnnkit.optim.length import RunLength, find_length_default, length_arguments, plan_schedule
from cnnkit.optim.muon import MuonSGD
from cnnkit.optim.nested import has_parts
from cnnkit.optim.optimizers import build_optimizer, fused_if_possible, is_second_order
from cnnkit.optim.schedule import BuiltSchedule, ScheduleFactory, UpdateSchedule, build_schedule
from cnnkit.optim.timm_optimizer import TimmOptimizer

__all__ = [
    "BuiltSchedule",
    "MuonSGD",
    "RunLength",
    "ScheduleFactory",
    "TimmOptimizer",
    "TriangleLR",
    "UpdateSchedule",
    "WarmupCosineLR",
    "build_optimizer",
    "build_schedule",
    "common_rates",
    "decay_groups",
    "find_length_default",
    "fused_if_possible",
    "has_parts",
    "is_second_order",
    "length_arguments",
    "parameter_groups",
    "plain_factory",
    "plan_schedule",
    "scale_rates",
]
