"""Mistakes that the user can mend: shown as a line or two, never as a traceback."""


class UserError(ValueError):
    """Something outside the code is wrong: a file, a key, a value.

    The message names the thing, the reason and the remedy in at most three lines. The command line prints it and
    exits with code 2; from Python it is an ordinary ``ValueError``.
    """
