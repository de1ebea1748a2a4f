"""Explains what torch raises when a data worker is lost."""

import re

_KILLED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: (\w+)|exited unexpectedly)"
)


def describe_lost_workers(text: str) -> str | None:
    """The reason and the remedy in a line; None if an error is of another kind.

    Args:
        text: of an error, which torch raises wherever the main process happens to be.
    """
    if "shared memory" in text or "/torch_" in text:  # comes first: a worker may be killed for it
        return (
            "the shared memory (/dev/shm) is full, through which data workers send batches; set data.num_workers to 0, "
            "lower data.batch_size, or enlarge it (docker run --shm-size 2g)"
        )
    if killed := _KILLED.search(text):
        how = f"by the signal {killed[2]}" if killed[2] else "while it worked"
        return (
            f"data worker {killed[1]} was ended {how}, as the system does when memory is short; lower data.num_workers "
            "(0: none), data.batch_size or data.max_pixels, or set data.cache to none"
        )
    if "received 0 items of ancdata" in text or "Too many open files" in text:
        return "too many files are open for data workers; lower data.num_workers, or raise the limit (ulimit -n 65536)"
    return None
