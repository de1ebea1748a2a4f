"""Which of several processes of one fit speaks and keeps the run folder."""

import os

from lightning.fabric.utilities.rank_zero import _get_rank


def is_first_process() -> bool:
    """Whether this process, and no other rank's, keeps the run folder."""
    return not _get_rank() and not int(os.environ.get("NODE_RANK", 0))
