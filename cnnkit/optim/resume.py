"""A resume with another length: the new schedule continues at the place that the old one had reached.

A checkpoint holds a schedule's state with its length, and torch computes many rates from the previous ones. With that
state CosineAnnealingLR would rise again after its old end, and OneCycleLR would raise an error. So the new schedule is
moved from its start as often as the old one was.
"""

import warnings
from typing import Any, NamedTuple

from torch.optim import Optimizer

from cnnkit.optim.groups import COMMON
from cnnkit.optim.length import RunLength
from cnnkit.optim.schedule import BuiltSchedule, CountedSchedule

KEY = "schedule_moves"
_MOVED = ("lr", COMMON, "momentum", "betas")


class Moves(NamedTuple):
    """How far a schedule has moved.

    Attributes:
        made: number of moves.
        steps: optimizer steps that were over at the last move.
        epochs: epochs that were over then.
        length: length of the run that it was built for; None if the schedule does not depend on it.
    """

    made: int = 0
    steps: int = 0
    epochs: int = 0
    length: RunLength | None = None

    def pack(self) -> dict[str, Any]:
        """Return plain values for a checkpoint."""
        return {**self._asdict(), "length": self.length and list(self.length)}

    @classmethod
    def unpack(cls, packed: dict[str, Any] | None) -> "Moves":
        """Read the values of a checkpoint; zeros for a checkpoint without them."""
        return cls(**{**packed, "length": packed["length"] and RunLength(*packed["length"])}) if packed else cls()


def follow_new_length(
    schedule: BuiltSchedule, optimizer: Optimizer, moves: Moves, length: RunLength | None, checkpoint: Any
) -> None:
    """Change the schedule in a checkpoint if the run that resumes from it has another length.

    From there on the rates are those of a run that had the new length from its start.

    Args:
        schedule: just built, for the new length.
        optimizer: its optimizer, just built.
        moves: moves of the schedule in the checkpoint.
        length: length of the run now.
        checkpoint: before Lightning restores optimizer and schedule from it.
    """
    if None in (moves.length, length) or moves.length == length or schedule.plateau:
        return
    # A schedule of timm's kind computes its rates from its last move alone.
    count = min(moves.made, 1) if isinstance(schedule.scheduler, CountedSchedule) else moves.made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer made no step
        for _ in range(count):
            schedule.move(optimizer, moves.steps, moves.epochs, None)
    checkpoint["lr_schedulers"][0] = schedule.scheduler.state_dict()
    saved_groups = checkpoint["optimizer_states"][0]["param_groups"]
    for saved, new in zip(saved_groups, optimizer.param_groups, strict=False):
        saved.update({name: new[name] for name in _MOVED if name in new})
