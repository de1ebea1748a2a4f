"""The words of a command line: keys, values, configuration files, and what belongs to none of them."""

import shlex
from collections.abc import Sequence
from typing import Any

from cnnkit.cli.parsing.arguments import refuse_unquoted
from cnnkit.cli.parsing.hints import suggest_key
from cnnkit.errors import UserError
from cnnkit.scalars import PlainScalar
from cnnkit.yaml_files import read_word

TEXTS = ("name",)  # keys whose word is text, whatever it looks like


def read_words(words: Sequence[str]) -> list[tuple[str, Any]]:
    """Keys and values of ``--key value``, ``--key=value`` and ``--key+=value``, in their order.

    Raises:
        UserError: for a key without a value, or a word that belongs to no key.
    """
    found: list[tuple[str, Any]] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("--") or word == "--":
            refuse_unquoted(words[list(words).index(word) :])
            raise UserError(f"{word}: this word belongs to no --key{_guess(word, found)}")
        flag, equals, text = word.partition("=")
        if not equals:
            text = next(rest, "--")
            if text.startswith("--"):
                hint = "" if "." in flag else suggest_key(flag[2:], exact=True)
                raise UserError(f"{flag}: needs a value after it{hint}")
        if not text.strip():
            raise UserError(f"{flag}: needs a value after it, and has an empty one; leave it out for the default")
        key = flag[2:]
        found.append((key, PlainScalar(text) if key in TEXTS else read_word(text, key)))
    return found


def _guess(word: str, before: list[tuple[str, Any]]) -> str:
    if word.endswith((".yaml", ".yml")):
        return f"; did you mean --config {shlex.quote(word)}?"
    if word.startswith("-") or not before:
        return "; keys are given as --key value"
    key, value = before[-1]
    listed = value if isinstance(value, list) else [value]
    many = ", ".join(map(str, [*listed, word]))
    return f"; keys are given as --key value, and a list, or a value with spaces, as one word: --{key} '[{many}]'"
