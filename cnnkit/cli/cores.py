"""The cores that a command computes with where it trains nothing: like `fit`, it leaves those alone that others use.

With as many threads as cores beside a busy process, explaining one image took twenty times as long: see
`cnnkit.threads`.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from cnnkit.threads import Usage, count_usable_cores

_watched: ContextVar[tuple[Usage, contextlib.ExitStack] | None] = ContextVar("watched", default=None)


@contextlib.contextmanager
def watch_cores(before: Usage | None) -> Iterator[None]:
    """Within it `use_free_cores` measures what others use since a reading; None leaves torch's threads alone."""
    with contextlib.ExitStack() as undo:
        token = _watched.set(None if before is None else (before, undo))
        try:
            yield
        finally:
            _watched.reset(token)


def use_free_cores(spare: int = 0) -> None:
    """Let torch compute with the threads that `fit` would choose, until the end of the command.

    Args:
        spare: cores to leave to other threads of this process.
    """
    watched = _watched.get()
    if watched is None:
        return
    import torch

    from cnnkit.cli.fit.threads import choose_free_threads, is_left_to_us  # imports torch

    before, undo = watched
    _watched.set(None)  # the first choice lasts
    most = torch.get_num_threads()
    if not is_left_to_us():
        return
    threads = min(choose_free_threads(before, most)[0], max(1, count_usable_cores() - spare))
    if threads < most:
        undo.callback(torch.set_num_threads, most)
        torch.set_num_threads(threads)
