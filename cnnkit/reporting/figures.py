"""Figures in one restrained style, as `matplotlib.figure.Figure` objects: no pyplot, so no global state and no window.

Colors are those of Okabe and Ito (2008), which people with any color vision tell apart.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.notices import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cnnkit.stats.calibration import Calibration

BLUE, ORANGE, GREEN, PINK, GRAY, INK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8c8c8c", "#333333"
WRITTEN = 30  # classes up to which a confusion matrix has numbers in its cells
NAMED = 60  # classes up to which it has their names
BARS = 40  # classes in a bar chart


def confusion_figure(matrix: np.ndarray, names: Sequence[str], *, percent: bool = False) -> "Figure":
    """Which class was taken for which; the color is the share of the row, its scale is stretched for small shares.

    Args:
        matrix: counts (K, K), a row each true class, a column each predicted one.
        names: of the K classes.
        percent: write the percentage of the row into the cells, instead of the count.
    """
    from matplotlib.colors import PowerNorm

    count = len(matrix)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(max(3.0, 1.4 + 0.42 * count), 10.0)
    figure, axes = new_figure(side, side)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    if count <= WRITTEN:
        size = 8 if count <= 12 else 7 if count <= 20 else 5.5
        for (row, column), number in np.ndenumerate(matrix):
            text = f"{100 * shares[row, column]:.1f}" if percent else f"{number:.0f}"
            color = "white" if shares[row, column] > 0.3 else INK
            if number:  # empty cells say it without a 0
                axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    else:
        bar = figure.colorbar(picture, ax=axes, shrink=0.6, aspect=30, pad=0.02, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
        bar.ax.set_yticklabels(["0", "1%", "10%", "25%", "50%", "100%"])
        bar.ax.tick_params(labelsize=8, length=2, colors=INK)
        bar.outline.set_visible(False)
    if count <= NAMED:
        size = 8 if count <= 20 else 6
        shown = [short(name) for name in names]
        fit = max(map(len, shown)) * count < 15 * (side - 1.4)  # characters of this size, 15 an inch
        axes.set_xticks(range(count), shown, rotation=0 if fit else 90, fontsize=size, parse_math=False)
        axes.set_yticks(range(count), shown, fontsize=size, parse_math=False)
    label_axes(axes, "predicted", "true")
    return figure


def reliability_figure(calibration: "Calibration") -> "Figure":
    """How often predictions of each confidence are right; below it, how many there are of each.

    Args:
        calibration: of some predictions; a bin without predictions has no bar.
    """
    edges, counts = np.asarray(calibration.edges), np.asarray(calibration.count)
    total = int(counts.sum())
    figure, (upper, lower) = new_figures(4.2, 4.4, rows=2, height_ratios=[3.2, 1], sharex=True)
    full = counts > 0
    left, width = edges[:-1][full], np.diff(edges)[full]
    accuracy, confidence = np.asarray(calibration.accuracy)[full], np.asarray(calibration.confidence)[full]
    upper.bar(left, accuracy, width, align="edge", color=BLUE, edgecolor="white", label="accuracy", zorder=2)
    upper.plot([0, 1], [0, 1], "--", color=GRAY, lw=1, zorder=3, label="ideal")
    upper.plot(confidence, accuracy, "o", color=ORANGE, ms=3, zorder=4, label="at mean confidence")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    label_axes(upper, "", "accuracy", f"expected calibration error {calibration.error:.3f}  (n = {total:,})")
    upper.legend(fontsize=7, frameon=False, loc="upper left")
    lower.bar(left, counts[full], width, align="edge", color=GRAY, edgecolor="white", zorder=2)
    for x, w, count in zip(left, width, counts[full], strict=True):
        lower.annotate(f"{count:,}", (x + w / 2, count), (0, 2), textcoords="offset points", ha="center", fontsize=5.5)
    lower.margins(y=0.25)
    lower.set_yticks([])
    label_axes(lower, "confidence", "images")
    return figure


def curves_figure(rows: Sequence[Mapping[str, float]], keys: Sequence[str] = ("loss", "acc")) -> "Figure":
    """Training and validation against the epoch, a panel a quantity; an epoch counts as 1 when it is over.

    Args:
        rows: of metrics.csv; see `cnnkit.runs.metrics.read_metrics`.
        keys: quantities: ``loss`` shows ``train/loss`` and ``val/loss``.
    """
    figure, panels = new_figures(3.6 * len(keys), 2.9, columns=len(keys))
    for axes, key in zip(panels, keys, strict=True):
        for stage, color in {"train": BLUE, "val": ORANGE}.items():
            name = f"{stage}/{key}"
            points = [(row["epoch"] + 1, row[name]) for row in rows if "epoch" in row and name in row]
            if points:
                marker = "o" if len(points) <= 30 else ""
                axes.plot(*zip(*points, strict=True), color=color, label=name, lw=1.5, marker=marker, ms=3)
                axes.legend(fontsize=7, frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(color="#e6e6e6", lw=0.6)
        axes.margins(y=0.1)
        label_axes(axes, "epoch", {"acc": "accuracy"}.get(key, key))
    return figure


def class_accuracy_figure(matrix: np.ndarray, names: Sequence[str]) -> "Figure":
    """Accuracy of each class, the lowest first, against that of all images; the lowest 40 where there are more.

    Args:
        matrix: counts (K, K), a row each true class, a column each predicted one.
        names: of the K classes.
    """
    totals = matrix.sum(1)
    present = np.flatnonzero(totals)
    accuracy = np.diagonal(matrix)[present] / totals[present]
    order = np.argsort(accuracy, kind="stable")[:BARS]
    shown = [short(names[k]) for k in present[order]]
    figure, axes = new_figure(4.6, 0.8 + 0.22 * max(len(shown), 2))
    axes.barh(range(len(shown)), accuracy[order], 0.75, color=BLUE)
    axes.set_yticks(range(len(shown)), shown, fontsize=8, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    for k, value in enumerate(accuracy[order]):  # within the bar, where the line cannot cross it
        inside = {"x": 0.01, "color": "white"} if value > 0.15 else {"x": value + 0.01, "color": INK}
        axes.text(y=k, s=f"{value:.1%}", va="center", fontsize=7, **inside)
    overall = float(np.trace(matrix) / max(totals.sum(), 1))
    axes.axvline(overall, color=ORANGE, lw=1.2, ls="--", zorder=3, label=f"all {overall:.2%}")
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
    axes.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), borderpad=0)
    which = f" of the {BARS} lowest of {len(present)} classes" if len(present) > BARS else ""
    label_axes(axes, f"accuracy{which}", "")
    return figure


def png_bytes(figure: "Figure", dpi: int = 150) -> bytes:
    """The figure as a PNG file, the same bytes for the same figure."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # then there is a box in its place
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def short(name: str, most: int = 22) -> str:
    """A name for a figure: printable and not too long.

    >>> short("a very long name of a class")
    'a very long name of a…'
    """
    name = printable(name)
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """An empty figure of that many inches with one pair of axes, in our style."""
    figure, panels = new_figures(width, height)
    return figure, panels[0]


def new_figures(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> "tuple[Figure, Any]":
    """The same with a grid of axes, row after row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False, **options).flatten()
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GRAY)
        axes.tick_params(labelsize=8, colors=INK, color=GRAY, length=3)
        axes.set_axisbelow(True)
    return figure, panels


def label_axes(axes: "Axes", x: str, y: str, title: str = "") -> None:
    """Names of the axes and a title, in our style."""
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)
    axes.set_title(title, fontsize=9, color=INK)
