"""Decides which arguments stay where one class takes the place of another."""

from dataclasses import InitVar, dataclass, field
from typing import Any

from cnnkit.cli.parsing.classes import list_parameters, shared_arguments, shorten_path
from cnnkit.config_files.scalars import as_word, plain


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
        arguments: those of the class before.
        keep: whether ``+`` was written.
    """

    key: str
    before: str
    after: str
    arguments: InitVar[dict[str, Any]]
    keep: bool
    kept: dict[str, Any] = field(init=False)
    dropped: dict[str, Any] = field(init=False)

    def __post_init__(self, arguments: dict[str, Any]) -> None:
        stay = set(list_parameters(self.after)) if self.keep else shared_arguments(self.before, self.after)
        self.kept = {name: value for name, value in arguments.items() if name in stay}
        self.dropped = {name: value for name, value in arguments.items() if name not in stay}

    def describe(self, present: dict[str, Any], defaults: dict[str, Any]) -> str:
        """Describe in a line which arguments were lost, or kept without a request; return nothing if none was.

        Args:
            present: the arguments that the class has now; what was written again is not lost.
            defaults: arguments that come from the program.
        """
        dropped, kept = self._choose(self.dropped, self.before), self._choose(self.kept, self.after)
        lost = {name: value for name, value in dropped.items() if name not in present and value != defaults.get(name)}
        stays = [n for n, value in kept.items() if not self.keep and value == present.get(n) != defaults.get(n)]
        old, parts = shorten_path(self.before) or "the default", []
        if lost:
            listed = ", ".join(f"{name}={_shorten(value)}" for name, value in lost.items())
            parts.append(f"{listed} of {old} {'is' if len(lost) == 1 else 'are'} not carried over")
            if set(lost) & set(list_parameters(self.after)) and not self.keep:
                parts[-1] += f" (--{self.key}+={self.after} keeps what fits)"
        if stays:
            argument, stay = ("argument", "stays") if len(stays) == 1 else ("arguments", "stay")
            parts.append(f"{', '.join(stays)}, the same {argument} in both, {stay}")
        return f"note: {self.key} is {shorten_path(self.after)} now, not {old}; {'; '.join(parts)}" if parts else ""

    @staticmethod
    def _choose(arguments: dict[str, Any], class_name: str) -> dict[str, Any]:
        """Choose the arguments that are not the class's defaults, which a run's config.yaml spells out."""
        known = list_parameters(class_name)
        return {n: v for n, v in arguments.items() if n not in known or not _equal(plain(v), known[n].default)}


def _equal(value: Any, default: Any) -> bool:
    return bool(value == default or (isinstance(default, tuple) and value == list(default)))


def _shorten(value: Any) -> str:
    if isinstance(value, dict) and "class_path" in value:
        return shorten_path(str(value["class_path"]))
    text = as_word(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
