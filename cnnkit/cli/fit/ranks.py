"""A command with several processes leaves the one that it was started in as it was.

Lightning starts a process for each further device, and marks this one as the first of them by variables of the
environment. It takes back neither these nor torch's group of processes. A later command in the same process would wait
for ranks that have ended.
"""

import contextlib
import os
from collections.abc import Iterator

import torch

# that Lightning sets
_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")


@contextlib.contextmanager
def leave_no_ranks() -> Iterator[None]:
    """End within it what a trainer begins: the group of processes, the marks of a rank and the threads of one."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    had_group, threads = _has_group(), torch.get_num_threads()
    try:
        yield
    finally:
        if _has_group() and not had_group:
            torch.distributed.destroy_process_group()
        if os.environ.get("LOCAL_RANK") != before["LOCAL_RANK"]:
            torch.set_num_threads(threads)
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _has_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
