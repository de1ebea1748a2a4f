"""Decides which arguments stay where one class takes the place of another."""

from dataclasses import dataclass, field
from typing import Any

from cnnkit.cli.parsing.classes import list_parameters, shared_arguments, short_name
from cnnkit.scalars import as_word, plain


@dataclass
class ClassChange:
    """A class that took the place of another.

    Arguments that were written for the class before are dropped: a weight decay for AdamW is none for Adam. Two kinds
    stay: where one of the classes is a subclass of the other, the arguments that both take from one definition, such as
    the net of a task; and, with ``+``, what fits the new class (``--model.optimizer+=torch.optim.SGD``).

    Args:
        key: dotted, without ``init_args``.
        before: path of the class whose place it took; empty for the default one.
        after: path of the class that stands now.
        kept: arguments that stay.
        dropped: arguments that do not.
        asked: whether ``+`` was written.
    """

    key: str
    before: str
    after: str
    kept: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, Any] = field(default_factory=dict)
    asked: bool = False

    @classmethod
    def between(cls, key: str, before: str, after: str, given: dict[str, Any], *, keep: bool) -> "ClassChange":
        """Decide on each argument that was given for the class before."""
        stay = set(list_parameters(after)) if keep else shared_arguments(before, after)
        kept = {name: value for name, value in given.items() if name in stay}
        dropped = {name: value for name, value in given.items() if name not in stay}
        return cls(key, before, after, kept, dropped, keep)

    def describe(self, given: dict[str, Any], unsaid: dict[str, Any]) -> str:
        """A line about what became of the arguments; nothing if none was lost or taken along unasked.

        Args:
            given: the arguments that the class has now; what was given again is not lost.
            unsaid: arguments that nobody wrote, which come from the program.
        """
        lost = {
            n: v for n, v in self._chosen(self.dropped, self.before).items() if n not in given and v != unsaid.get(n)
        }
        stays = (
            []
            if self.asked
            else [n for n, v in self._chosen(self.kept, self.after).items() if v == given.get(n) != unsaid.get(n)]
        )
        old, parts = short_name(self.before) or "the default", []
        if lost:
            listed = ", ".join(f"{name}={_shorten(value)}" for name, value in lost.items())
            parts.append(f"{listed} of {old} {'is' if len(lost) == 1 else 'are'} not carried over")
            if set(lost) & set(list_parameters(self.after)) and not self.asked:
                parts[-1] += f" (--{self.key}+={self.after} keeps what fits)"
        if stays:
            parts.append(
                f"{', '.join(stays)}, the same argument{'s' * (len(stays) > 1)} in both, stay{'s' * (len(stays) == 1)}"
            )
        return f"note: {self.key} is {short_name(self.after)} now, not {old}; {'; '.join(parts)}" if parts else ""

    @staticmethod
    def _chosen(arguments: dict[str, Any], of_class: str) -> dict[str, Any]:
        """Those that are not the class's defaults, which a run's config.yaml spells out."""
        known = list_parameters(of_class)
        return {n: v for n, v in arguments.items() if n not in known or not _equal(plain(v), known[n].default)}


def _equal(value: Any, default: Any) -> bool:
    return bool(value == default or (isinstance(default, tuple) and value == list(default)))


def _shorten(value: Any) -> str:
    if isinstance(value, dict) and "class_path" in value:
        return short_name(str(value["class_path"]))
    text = as_word(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
