"""Parses the options of commands such as ``summary``. Standard library only."""

import argparse
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from cnnkit.errors import UserError
from cnnkit.suggest import suggest


class Options(argparse.ArgumentParser):
    """`argparse` with our errors: what is wrong and what to do in one line, exit code 2.

    Args:
        command: the command's name.
        description: what it does and prints; its help is made of this and of the arguments.
        passes_on: let pass, as ``args.others``, the words that are keys of a configuration, such as ``--model.net``.
    """

    def __init__(self, command: str, description: str, *, passes_on: bool = False) -> None:
        super().__init__(
            f"cnnkit {command}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.passes_on = passes_on

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Read the options by name.

        Raises:
            UserError: for an unknown key, a missing or wrong value.
            SystemExit: after ``--help``.
        """
        if not self.passes_on:
            return self.parse_args(words)
        args, others = self.parse_known_args(words)
        stray = [word for word in others if word.startswith("--") and not re.match(r"--(\w+\.|model|data)", word)]
        stray = [word for word in stray if not re.match(r"--(name|seed_everything|monitor|mode|weights|watch)\b", word)]
        if stray:
            self.error(f"unrecognized arguments: {stray[0]}")
        args.others = others
        return args

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError` instead of printing the usage."""
        if unknown := re.match(r"unrecognized arguments: (\S+)", message):
            word = unknown[1].partition("=")[0]
            if word == "--ckpt_path":
                raise UserError(f"{word}: {self.prog.split()[-1]} takes the run's best checkpoint; leave it out")
            if not word.startswith("-"):
                raise UserError(f"{word}: one word too many ({self.prog} --help tells more)")
            if word == "--run" and (names := re.search(r" (RUN\b.*)", " ".join(self.format_usage().split()))):
                raise UserError(f"{word}: here a run is named without it: {self.prog} {names[1]}")
            # The usage names only the short form of an option that has one.
            known = re.findall(r"^  (?:-\w(?: \S+)*, )?(--[\w-]+)", self.format_help(), re.MULTILINE)
            raise UserError(f"{word}: unknown word{suggest(word, known)}")
        raise UserError(re.sub(r"^argument ([^:]+):", r"\1:", message) + f" ({self.prog} --help tells more)")


def add_json(options: Options) -> None:
    """Add ``--json``, for other programs to read."""
    options.add_argument("--json", action="store_true", help="print the figures as JSON")


def add_config(options: Options) -> None:
    """Add ``--config``, as `fit` has it."""
    options.add_argument("--config", action="append", default=[], metavar="FILE", help="a configuration, as for fit")


def configuration_words(args: argparse.Namespace) -> list[str]:
    """Return the words of a configuration: its files, then the keys that the options have let pass."""
    return [word for file in args.config for word in ("--config", file)] + list(args.others)


def positive(text: str) -> int:
    """Read a whole number from 1 on, as an argparse type."""
    return _number(text, 1)


def natural(text: str) -> int:
    """Read a whole number from 0 on, as an argparse type."""
    return _number(text, 0)


def _number(text: str, least: int) -> int:
    value: Any = int(text) if re.fullmatch(r"\d+", text) else None
    if value is None or value < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
    return int(value)


def share(text: str) -> float:
    """Read a number from 0 to 1, as an argparse type."""
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 1:
            return value
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")


def positive_number(text: str) -> float:
    """Read a finite number above 0, as an argparse type."""
    with suppress(ValueError):
        if 0 < (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
