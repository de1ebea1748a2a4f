"""Tells which of several processes of one fit prints and keeps the run folder."""

import os

from lightning.fabric.utilities.rank_zero import rank_zero_only


def is_first_process() -> bool:
    """Whether this process, and no other rank's, keeps the run folder."""
    return getattr(rank_zero_only, "rank", 0) == 0 and not int(os.environ.get("NODE_RANK", 0))
