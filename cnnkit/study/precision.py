"""One precision for all runs of a study that names none: scores of two precisions are not pooled."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.precision import PrecisionChoice


def choose_precision(place: Path, earlier: Iterable[str], choices: Sequence[PrecisionChoice]) -> PrecisionChoice:
    """Choose the precision of all runs of a study: that of the existing runs, else one that suits every variant.

    Args:
        place: folder of the runs.
        earlier: precisions of the existing runs.
        choices: the default of the machine and the net for each variant; if they differ, ``32-true`` is chosen.

    Raises:
        UserError: the existing runs have more than one precision.
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
