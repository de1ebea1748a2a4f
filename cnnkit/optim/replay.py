"""A resume with another length: the schedule of the new length takes the place that the old one had come to.

A checkpoint holds a schedule's state, its length with it, and torch computes many rates from the ones before: with that
state CosineAnnealingLR would climb again after its old end, and OneCycleLR refuse to go on. So the new schedule is
moved from its start as often as the old one was.
"""

import warnings
from typing import Any, NamedTuple

from torch.optim import Optimizer

from cnnkit.optim.length import RunLength
from cnnkit.optim.rates import COMMON
from cnnkit.optim.schedule import BuiltSchedule, CountedSchedule

KEY = "schedule_moves"
_MOVED = ("lr", COMMON, "momentum", "betas")


class Moves(NamedTuple):
    """How far a schedule has come.

    Attributes:
        made: how often it was moved.
        steps: optimizer steps that were over at its last move.
        epochs: epochs that were over then.
        length: of the run that it was built for; None if that made no difference.
    """

    made: int = 0
    steps: int = 0
    epochs: int = 0
    length: RunLength | None = None

    def pack(self) -> dict[str, Any]:
        """In plain values, for a checkpoint."""
        return {**self._asdict(), "length": self.length and list(self.length)}

    @classmethod
    def unpack(cls, packed: dict[str, Any] | None) -> "Moves | None":
        """From a checkpoint; None from one that has none."""
        if packed is None:
            return None
        return cls(**{**packed, "length": packed["length"] and RunLength(*packed["length"])})


def follow_new_length(
    schedule: BuiltSchedule, optimizer: Optimizer, moves: Moves | None, length: RunLength | None, checkpoint: Any
) -> None:
    """Change in a checkpoint what it holds of a schedule, if the run that goes on from it has another length.

    From there on the rates are those of a run that had the new length from its start.

    Args:
        schedule: just built, for the new length.
        optimizer: its optimizer, just built.
        moves: of the schedule in the checkpoint.
        length: of the run now.
        checkpoint: before Lightning restores optimizer and schedule from it.
    """
    if moves is None or None in (moves.length, length) or moves.length == length or schedule.plateau:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer made no step
        if isinstance(schedule.scheduler, CountedSchedule):  # it computes the rates from what it is told
            if moves.made:
                schedule.move(optimizer, moves.steps, moves.epochs, None)
        else:
            for _ in range(moves.made):
                schedule.move(optimizer, moves.steps, moves.epochs, None)
    checkpoint["lr_schedulers"][0] = schedule.scheduler.state_dict()
    held = checkpoint["optimizer_states"][0]["param_groups"]
    for old, new in zip(held, optimizer.param_groups, strict=False):
        old.update({name: new[name] for name in _MOVED if name in new})
