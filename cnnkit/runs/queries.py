"""Conditions on runs such as ``val/acc>0.9``, and sorting with the best run first."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cnnkit.errors import UserError
from cnnkit.runs.records import RunRecord, lower_is_better
from cnnkit.suggest import closest

_CONDITION = re.compile(r"\s*([^<>=!\s]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*")
_CLASS = re.compile(r"(\w+\.)+[A-Z]\w*")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Condition:
    """A condition on a run, see `read_condition`."""

    key: str
    sign: str
    value: str

    def holds(self, record: RunRecord) -> bool:
        """Whether a run meets the condition. A missing value, or text in place of a number, is never above or below."""
        found, number = record.get(self.key), _number(self.value)
        if self.sign in ("=", "==", "!="):
            return _equals(found, self.value, number) is (self.sign != "!=")
        if isinstance(found, str):  # such as when>2026-11-20
            return _ORDERS[self.sign](found, self.value)
        if not isinstance(found, int | float):
            return False
        if number is None:
            raise UserError(f"--where {self.key}{self.sign}{self.value}: {self.key} is a number; give one")
        return _ORDERS[self.sign](found, number)


def read_condition(text: str) -> Condition:
    """Read a condition from text: a key, one of = != < <= > >=, a value; numbers are compared as numbers.

    A missing value is ``null``. The last name of a class is enough.

    Raises:
        UserError: for anything else.

    Example:
        >>> read_condition("val/acc > 0.9")
        Condition(key='val/acc', sign='>', value='0.9')
    """
    parts = _CONDITION.fullmatch(text)
    if parts is None or not parts[3]:
        raise UserError(f"--where {text!r}: write a condition such as 'net=CNN' or 'val/acc>0.9', in quotes")
    return Condition(*parts.groups())


def _equals(found: Any, text: str, number: float | None) -> bool:
    if isinstance(found, bool) or found is None:
        return text.lower() == {True: "true", False: "false", None: "null"}[found]
    if isinstance(found, int | float):
        return found == number
    last = found.rpartition(".")[2] if isinstance(found, str) and _CLASS.fullmatch(found) else ""
    return text.replace(" ", "") in (str(found).replace(" ", ""), last)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def sort_records(records: Iterable[RunRecord], key: str, reverse: bool = False) -> list[RunRecord]:
    """Sort by a key, the best first: numbers from the highest, losses from the lowest, text from A to Z.

    Args:
        records: the runs; those without a value come last.
        key: see `RunRecord.get`.
        reverse: the other way round; those without a value still come last.
    """
    listed = list(records)
    valued = [record for record in listed if _rank(record.get(key)) is not None]
    numbers = all(not isinstance(record.get(key), str) for record in valued)
    down = (numbers and not lower_is_better(listed, key)) is not reverse
    ordered = sorted(valued, key=lambda r: _rank(r.get(key)) or (0, 0.0, ""), reverse=down)
    return ordered + [record for record in listed if _rank(record.get(key)) is None]


def _rank(value: Any) -> tuple[int, float, str] | None:
    """A sort key for values of any type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def check_keys(records: Sequence[RunRecord], keys: Iterable[str]) -> None:
    """Check that at least one run has each of the keys.

    Raises:
        UserError: no run has the key; the message has the closest ones.
    """
    for key in keys:
        if not records or any(key in r.facts or key in r.scores for r in records):
            continue
        known = set().union(*(record.keys() for record in records))
        if key not in known:
            close = closest(key, known) or ["val/acc", "net", "model.optimizer.lr"]
            raise UserError(f"{key}: no run has such a value; there are {', '.join(close)} (`runs show RUN` lists all)")
