"""One precision for all runs of a study, which leaves it to the machine: scores of two are not pooled."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.precision import PrecisionChoice


def choose_precision(place: Path, earlier: Iterable[str], choices: Sequence[PrecisionChoice]) -> PrecisionChoice:
    """The precision that all runs of a study share: that of the runs there are, else what suits every variant.

    Args:
        place: folder of the runs.
        earlier: precisions of the runs that a study goes on from.
        choices: what machine and net say for each variant that names no precision; where they differ: ``32-true``.

    Raises:
        UserError: the runs there are were computed in more than one.
    """
    counts = Counter(earlier)
    if len(counts) > 1:
        told = ", ".join(f"{number} in {name}" for name, number in sorted(counts.items()))
        raise UserError(
            f"{place}: its runs were computed in different precisions ({told}), which one table cannot pool; set "
            "trainer.precision under overrides in study.yaml, and those of the other one are trained again"
        )
    if counts:
        return PrecisionChoice(next(iter(counts)), "that of the runs there are")
    if len({choice.precision for choice in choices}) == 1:
        return choices[0]
    kept = next((c for c in choices if c.precision == "32-true"), PrecisionChoice("32-true", ""))
    return kept._replace(reason=kept.reason or "what suits every variant")
