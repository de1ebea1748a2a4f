"""The known name that is closest to a mistyped one. Standard library only."""

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], *, listing: bool = True) -> str:
    """Return the end of an error message: ``; did you mean x?``, or ``; there are x, y`` where the list is short.

    Args:
        word: the name that is not known.
        known: the names that are.
        listing: list the known names if none of them is close and they are at most twelve; else return "".
    """
    known = sorted(set(known))
    by_lower = {name.lower().lstrip("-"): name for name in known}
    given, word = word, word.lower().lstrip("-")  # the dashes of two options are no resemblance
    close = difflib.get_close_matches(word, by_lower, 1, 0.5 if len(word) <= 3 else 0.55)
    if close and by_lower[close[0]] != given:
        return f"; did you mean {by_lower[close[0]]}?"
    if within := [name for lower, name in by_lower.items() if len(word) > 3 and word in lower]:  # cosine, step
        return f"; did you mean {' or '.join(within[:3])}?"
    return f"; there are {', '.join(known)}" if listing and 0 < len(known) <= 12 else ""


def closest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` known names that resemble a word, the closest first."""
    return difflib.get_close_matches(word, list(known), count, 0.55)
