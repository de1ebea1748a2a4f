"""Commands as they are printed: what is copied into a shell does what it says, spaces in paths or not."""

import shlex


def quote_command(*words: object) -> str:
    """Return ``cnnkit`` with these words, each quoted where a shell would take it apart.

    Example:
        >>> quote_command("test", "--run", "runs/my photos")
        "cnnkit test --run 'runs/my photos'"
    """
    return shlex.join(["cnnkit", *map(str, words)])
