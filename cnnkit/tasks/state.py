"""What a run's numbers go on from: random seeds, metrics half way, arguments that a checkpoint can hold."""

from typing import Any

import torch
from torchmetrics import Metric


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generators that a step draws from; `torch.manual_seed` seeds all kinds of device, at 1 ms a call."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def sum_over_ranks(metric: Metric) -> dict[str, Any]:
    """Return a metric's state, summed over all ranks."""
    with metric.sync_context():
        return {
            name: value.clone() if torch.is_tensor(value) else [v.clone() for v in value]
            for name, value in metric.metric_state.items()
        }


def is_plain(value: Any) -> bool:
    """Whether a checkpoint that holds the value loads with weights_only=True."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(v) for v in value)
    return value is None or type(value) in (str, int, float, bool)
