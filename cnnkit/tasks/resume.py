"""What an exact resume needs: random seeds, the metrics of an incomplete epoch, the position of the loaders."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import CombinedLoader
from torchmetrics import Metric


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the generators of a step; `torch.manual_seed` seeds all kinds of devices, which takes 1 ms a call."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def sum_over_ranks(metric: Metric) -> dict[str, Any]:
    """Return the state of a metric, summed over all ranks."""
    with metric.sync_context():
        return {
            name: value.clone() if torch.is_tensor(value) else [v.clone() for v in value]
            for name, value in metric.metric_state.items()
        }


def restore_metrics(metrics: Sequence[Metric], states: Sequence[Mapping[str, Any]]) -> None:
    """Set the states of metrics to those that `sum_over_ranks` has returned."""
    for metric, state in zip(metrics, states, strict=False):
        for name, value in state.items():
            setattr(metric, name, value.to(metric.device) if torch.is_tensor(value) else value)


def read_loader_states(checkpoint: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the states of the training loaders that Lightning has saved in a checkpoint."""
    fit_loop = checkpoint.get("loops", {}).get("fit_loop", {})
    return list(fit_loop.get("state_dict", {}).get("combined_loader", []))


def reopen_epoch(checkpoint: Mapping[str, Any]) -> bool:
    """Let a resume go on within the last epoch if that was cut short, by ``max_steps`` or a limit of time, say.

    Lightning counts such an epoch as a whole one: what is left of it would be skipped, and nothing trained if it is the
    last one that ``max_epochs`` allows.

    Args:
        checkpoint: its counts are changed in place.

    Returns:
        Whether the resumed run begins within an epoch.
    """
    loops = checkpoint.get("loops", {}).get("fit_loop", {})
    epochs, batches = loops.get("epoch_progress"), loops.get("epoch_loop.batch_progress")
    if not epochs or not batches:
        return False
    if epochs["current"]["processed"] < epochs["current"]["started"]:
        return True
    if batches["is_last_batch"] or not batches["current"]["completed"]:
        return False
    for count in (epochs["current"], epochs["total"]):
        count["processed"] -= 1
        count["completed"] = min(count["completed"], count["processed"])
    return True


def restore_loaders(loaders: Any, states: Sequence[dict[str, Any]]) -> None:
    """Bring training loaders to the batch at which a run stopped.

    Lightning does so when it sets up the loaders. But to ask for the length of the run, as `configure_optimizers` does,
    sets them up before the checkpoint is read.

    Args:
        loaders: ``trainer.train_dataloader``.
        states: see `read_loader_states`.
    """
    stateful = [loader for loader in CombinedLoader(loaders).flattened if hasattr(loader, "load_state_dict")]
    for loader, state in zip(stateful, states, strict=False):
        if loader.state_dict() != state:
            loader.load_state_dict(state)


def is_plain(value: Any) -> bool:
    """Whether a checkpoint that holds the value loads with weights_only=True."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(v) for v in value)
    return value is None or type(value) in (str, int, float, bool)


def drop_objects(hparams: MutableMapping[str, Any]) -> None:
    """Remove what is not plain: with an object, a checkpoint would not load with weights_only=True.

    From the command line all values are plain, so that a checkpoint can rebuild the task.
    """
    for name in [name for name, value in hparams.items() if not is_plain(value)]:
        del hparams[name]
