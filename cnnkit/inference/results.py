"""What a trained net says of images: predictions and explanations, with their tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from cnnkit.notices import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 20  # rows of a table
TOP = 3  # classes of a row


@dataclass(frozen=True, eq=False)
class Prediction:
    """The classes of one image.

    Args:
        image: the file, or the image's place among those given.
        probabilities: one for each class, float32 (K,); they add up to 1, except with several labels an image.
        names: of the classes (K,).
        thresholds: with several labels an image, one for each class, float32 (K,).
    """

    image: str
    probabilities: np.ndarray
    names: tuple[str, ...]
    thresholds: np.ndarray | None = None

    @property
    def index(self) -> int:
        """The number of the most probable class."""
        return int(self.probabilities.argmax())

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.names[self.index]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that the image has: those that reach their threshold, or without thresholds `label`."""
        if self.thresholds is None:
            return (self.label,)
        return tuple(name for name, has in zip(self.names, self.probabilities >= self.thresholds, strict=True) if has)

    @property
    def probability(self) -> float:
        """The probability of the most probable class."""
        return float(self.probabilities[self.index])

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.names[k], float(self.probabilities[k])) for k in order]

    def __repr__(self) -> str:
        listed = ", ".join(f"{printable(name)} {share:.1%}" for name, share in self.top(TOP))
        has = "" if self.thresholds is None else f"{printable(_join(self.labels))}; "
        return f"<{printable(self.image)}: {has}{listed}>"


class Predictions(Sequence[Prediction]):
    """The predictions of several images, in their order; a notebook shows them as a table.

    Args:
        images: the files, or the images' places among those given.
        probabilities: float32 (N, K).
        names: of the classes (K,).
        thresholds: with several labels an image, the probability from which on it has a class, float32 (K,).
    """

    def __init__(
        self,
        images: Sequence[str],
        probabilities: np.ndarray,
        names: Sequence[str],
        thresholds: np.ndarray | None = None,
    ) -> None:
        self.images, self.probabilities, self.names = tuple(images), probabilities, tuple(names)
        self.thresholds = thresholds

    @property
    def labels(self) -> list[str] | list[tuple[str, ...]]:
        """The most probable class of each image; with several labels an image, the tuple of the classes it has."""
        if self.thresholds is not None:
            return [each.labels for each in self]
        return [self.names[k] for k in self.probabilities.argmax(1).tolist()]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each image, as `pandas.DataFrame` takes them, with the columns of ``cnnkit predict``.

        They are image, class and probability; with several labels an image, classes, with | between them, and
        ``probability_<class>`` of each class.
        """
        if self.thresholds is None:
            return [{"image": each.image, "class": each.label, "probability": each.probability} for each in self]
        columns = [f"probability_{name}" for name in self.names]
        return [
            {"image": each.image, "classes": "|".join(each.labels)}
            | dict(zip(columns, each.probabilities.tolist(), strict=True))
            for each in self
        ]

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, place: int) -> Prediction: ...
    @overload
    def __getitem__(self, place: slice) -> "Predictions": ...
    def __getitem__(self, place: int | slice) -> "Prediction | Predictions":
        if isinstance(place, slice):
            return Predictions(self.images[place], self.probabilities[place], self.names, self.thresholds)
        return Prediction(self.images[place], self.probabilities[place], self.names, self.thresholds)

    def __repr__(self) -> str:
        cells = [[printable(cell) for cell in row] for row in self._cells()]
        wide = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
        lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in cells]
        return "\n".join([*lines, *self._more()]) or "no images"

    def _repr_html_(self) -> str:
        first = ["class"] if self.thresholds is None else ["classes", "most probable"]
        titles = ["image", *first, "", *["next", ""] * (min(TOP, len(self.names)) - 1)]
        head = "".join(f"<th>{title}</th>" for title in titles)
        rows = ["".join(f"<td>{escape(printable(cell))}</td>" for cell in row) for row in self._cells()]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><tr>{head}</tr>{body}</table>" + "".join(f"<p>{line}</p>" for line in self._more())

    def _cells(self) -> Iterator[list[str]]:
        for each in self[:SHOWN]:
            has = [] if self.thresholds is None else [_join(each.labels)]
            yield [each.image, *has, *(cell for name, share in each.top(TOP) for cell in (name, f"{share:.1%}"))]

    def _more(self) -> list[str]:
        return [f"… and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []


def _join(labels: Sequence[str]) -> str:
    return "|".join(labels) or "-"


@dataclass(frozen=True, eq=False)
class ImageExplanation:
    """The maps that show which pixels speak for a class.

    Args:
        prediction: the classes of the image.
        label: the explained class.
        pixels: the image as the net gets it before normalization, uint8 (H, W, C).
        maps: float32 (H, W) by the name of the method; in maps with a sign, positive values support the class.
    """

    prediction: Prediction
    label: str
    pixels: np.ndarray
    maps: dict[str, np.ndarray]

    def figure(self) -> "Figure":
        """Draw the image and its maps, as ``cnnkit explain`` does."""
        import torch

        from cnnkit.inspection.explanation import Explanation, explanation_figure

        maps = {name: torch.from_numpy(found) for name, found in self.maps.items()}
        title = f"{printable(self.prediction.image)}\nexplained: {printable(self.label)}"
        return explanation_figure([Explanation(torch.from_numpy(self.pixels).permute(2, 0, 1), title, maps)])

    def __repr__(self) -> str:
        return f"<{printable(self.prediction.image)}: {printable(self.label)} explained by {', '.join(self.maps)}>"

    def _repr_png_(self) -> bytes:
        from cnnkit.reporting.figures import png_bytes

        return png_bytes(self.figure())
