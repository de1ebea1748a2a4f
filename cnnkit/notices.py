"""Notices for the user: each once a command, and from one process. Standard library only."""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # of the launchers that Lightning knows
_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "JSM_NAMESPACE_LOCAL_RANK")  # the same, within a machine
_SHARED = "CNNKIT_SAID"  # a folder in which the ranks of a command note what they have said
_said: set[str] = set()
_said_by_ranks: set[str] = set()  # when the folder is gone
_depth = 0


def is_first_process() -> bool:
    """Whether this process, and no other rank's, prints and keeps the run folder."""
    rank = next((os.environ[name] for name in _RANKS if name in os.environ), "0")
    return rank == "0" and os.environ.get("NODE_RANK", "0") == "0"


def is_refused_elsewhere() -> bool:
    """Whether another rank on this machine prints what this one refuses, because a launcher has given both one command.

    It is the first rank of each machine that prints: a refusal may be about the machine, such as a missing folder.
    Ranks that Lightning has started know more of each other, see `is_said_by_other_rank`.
    """
    return (
        _SHARED not in os.environ
        and next((os.environ[name] for name in _LOCAL_RANKS if name in os.environ), "0") != "0"
    )


def say(line: str) -> None:
    """Print a line to stderr, unless this command has printed it already or another rank does.

    Args:
        line: control characters and invalid bytes in it are escaped.
    """
    if not is_first_process() or line in _said:
        return
    if _depth:
        _said.add(line)
    print(f"cnnkit: {printable(line)}", file=sys.stderr)


@contextlib.contextmanager
def one_command() -> Iterator[None]:
    """Within it `say` prints no line twice; a command within a command, as in a study, counts to the outer one."""
    global _depth
    if not _depth:
        _said.clear()
        _said_by_ranks.clear()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


@contextlib.contextmanager
def share_with_ranks() -> Iterator[None]:
    """Let the processes that are started within it, and this one, tell each other what they have said."""
    if _SHARED in os.environ:  # this process is such a one
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without a place for temporary files each process speaks for itself
            os.environ[_SHARED] = stack.enter_context(tempfile.TemporaryDirectory(prefix="cnnkit-"))
        try:
            yield
        finally:
            if folder := os.environ.pop(_SHARED, None):
                _said_by_ranks.update(file.name for file in Path(folder).iterdir())


def is_said_by_other_rank(text: str) -> bool:
    """Whether another process of the same command has said something; if not, this one is noted as the one to say it.

    See `share_with_ranks`. A rank that finds the folder gone comes after the first one, which said why it ended.
    """
    name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    if name in _said_by_ranks:
        return True
    if (folder := os.environ.get(_SHARED)) is None:
        return False
    try:
        Path(folder, name).touch(exist_ok=False)
    except FileExistsError:
        return True
    except FileNotFoundError:
        return not is_first_process()
    except OSError:
        return False
    return False


def printable(text: object) -> str:
    r"""One line of valid text: control characters, line ends and bytes that are not UTF-8 as escapes.

    >>> printable("a\nb\udce4")
    'a\\nb\\xe4'
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\u200d" else _escape(c) for c in line)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
