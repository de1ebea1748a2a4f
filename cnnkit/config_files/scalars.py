"""Words without quotes: numbers, booleans, nulls or names, by the type of their key.

YAML 1.1 makes numbers, booleans and nulls of words that people mean as names (``1e3``, ``no``, ``0123``, ``1:30``), and
strings of what they mean as numbers (``1e-3``). Here such a word is a `PlainScalar`: its text, and the value that it
stands for. A key that takes text gets the text, every other key the value.
"""

import json
import math
import re
from typing import Any

_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WHOLE = re.compile(r"[-+]?(0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*)", re.IGNORECASE)
_REAL = re.compile(r"[-+]?((\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[-+]?\d+)?|\.inf|\.nan)", re.IGNORECASE)
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?")
_MOST_DIGITS = 300


class PlainScalar(str):
    """A word without quotes that stands for a number or a boolean, unless its key takes text."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """The value that it stands for.

        Raises:
            ValueError: if its meaning differs between people and YAML 1.1, or it is no finite number.
        """
        text = str(self)
        if text.lower() in _BOOLS:
            return _BOOLS[text.lower()]
        if _BASE_60.fullmatch(text):
            raise ValueError(f"'{text}' is a time, or a number to base 60; write a plain number")
        digits = text.lstrip("+-")
        if re.fullmatch(r"0[0-9_]+", digits):
            raise ValueError(
                f"'{text}' begins with a zero, which makes it octal for some; write {digits.lstrip('0') or 0}"
            )
        if _WHOLE.fullmatch(text):
            return int(text.replace("_", ""), 0)
        number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
        if math.isnan(number):
            raise ValueError(f"'{text}' is no value to compute with")
        if math.isinf(number) and "inf" not in text.lower():
            raise ValueError(f"'{text}' is too large for a number")
        return number


def read_scalar(text: str) -> Any:
    """Read a word without quotes: None, a `PlainScalar`, or text."""
    if text in ("", "~") or text.lower() == "null":
        return None
    number = len(text) <= _MOST_DIGITS and any(p.fullmatch(text) for p in (_WHOLE, _REAL, _BASE_60))
    return PlainScalar(text) if number or text.lower() in _BOOLS else text


def plain(value: Any) -> Any:
    """Replace every `PlainScalar` in nested values by its value, or by its text where that is ambiguous."""
    if isinstance(value, PlainScalar):
        try:
            return value.value
        except ValueError:
            return str(value)
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def as_word(value: Any) -> str:
    """Format a value as one word of a command line; `read_word` reads it as the same value."""
    if not isinstance(value, str):
        return _as_flow(value)
    return json.dumps(value, ensure_ascii=False) if read_scalar(value) is None or value[0] in "\"'" else str(value)


def _as_flow(value: Any) -> str:
    if isinstance(value, PlainScalar):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {_as_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
