"""Drawings of how a kernel moves: stride, padding, transposed convolution (after Dumoulin & Visin 2016)."""

from typing import TYPE_CHECKING, NamedTuple

from cnnkit.sizes import output_size, transposed_output_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Slide(NamedTuple):
    """A square kernel on a square image: i and k are their sizes, p is the padding, s the stride."""

    i: int
    k: int
    p: int = 0
    s: int = 1
    transposed: bool = False

    @property
    def o(self) -> int:
        """The size of the output in pixels."""
        rule = transposed_output_size if self.transposed else output_size
        return rule(self.i, self.k, self.p, self.s)

    def describe(self) -> str:
        """Write the calculation of the output size in one line.

        Example:
            >>> Slide(5, 3, 1, 2).describe()
            'stride 2, padding 1: (5 + 2*1 - 3) / 2 + 1 = 3'
            >>> Slide(3, 3, 1, 2, transposed=True).describe()
            'transposed, stride 2, padding 1: 2*(3 - 1) + 3 - 2*1 = 5'
        """
        settings = f"stride {self.s}, padding {self.p}: "
        if self.transposed:
            return f"transposed, {settings}{self.s}*({self.i} - 1) + {self.k} - 2*{self.p} = {self.o}"
        return f"{settings}({self.i} + 2*{self.p} - {self.k}) / {self.s} + 1 = {self.o}"


SLIDES = (
    Slide(4, 3),
    Slide(5, 3, p=1),
    Slide(5, 3, s=2),
    Slide(5, 3, p=1, s=2),
    Slide(2, 3, s=2, transposed=True),
    Slide(3, 3, p=1, s=2, transposed=True),
)


def draw_slides(slides: tuple[Slide, ...] = SLIDES) -> "Figure":
    """Draw the first and the last position of the kernel in the top row, and their output pixels.

    The image is above, the output below. Gray pixels are padding: zeros around the image of a convolution, or pixels
    that a transposed convolution removes from its output.

    Args:
        slides: one panel for each.
    """
    from cnnkit.reporting.figures import INK, new_figures

    figure, panels = new_figures(2.5 * len(slides) / 2, 7.2, rows=2, columns=-(-len(slides) // 2))
    for axes, slide in zip(panels, slides, strict=False):
        _draw(axes, slide)
        title, rule = slide.describe().split(": ")
        axes.set_title(f"{title.replace('transposed, ', 'transposed' + chr(10))}\n{rule}", fontsize=8, color=INK)
    return figure


def _draw(axes: "Axes", slide: Slide) -> None:
    from matplotlib.patches import Rectangle

    from cnnkit.reporting.figures import BLUE, GRAY, ORANGE

    large, small = (slide.o, slide.i) if slide.transposed else (slide.i, slide.o)
    around = large + 2 * slide.p

    def cells(count: int, top: float, left: float, inner: tuple[int, int] | None = None) -> None:
        for row in range(count):
            for column in range(count):
                inside = inner is None or all(inner[0] <= n < inner[1] for n in (row, column))
                face = "white" if inside else "#dddddd"
                axes.add_patch(
                    Rectangle((left + column, top + row), 1, 1, facecolor=face, edgecolor=GRAY, linewidth=0.6)
                )

    top_large, top_small = (small + 1, 0) if slide.transposed else (0, around + 1)
    left = (around - small) / 2
    cells(around, top_large, 0, (slide.p, slide.p + large))
    cells(small, top_small, left)
    for place, color in ((0, BLUE), (small - 1, ORANGE)):
        corner = (place * slide.s, top_large)
        axes.add_patch(Rectangle(corner, slide.k, slide.k, facecolor=color, alpha=0.25, zorder=2))
        axes.add_patch(Rectangle(corner, slide.k, slide.k, facecolor="none", edgecolor=color, linewidth=1.8, zorder=3))
        axes.add_patch(Rectangle((left + place, top_small), 1, 1, facecolor=color, alpha=0.7, zorder=2))
    axes.set(xlim=(-0.3, around + 0.3), ylim=(around + small + 1.3, -0.3), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
