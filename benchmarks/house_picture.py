"""The picture of docs/design.md: the rooms of `cnnkit/` on their floors, and what each imports."""

from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

WIDTH, HEIGHT = 1.5, 0.5
COLORS = ("#4c6ef5", "#228be6", "#15aabf", "#12b886", "#40c057", "#82c91e", "#fab005", "#fd7e14", "#fa5252", "#be4bdb")


def floors(rooms: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest of those that it imports.

    Raises:
        RecursionError: rooms import each other in a circle.
    """
    found: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in found:
            found[room] = max((floor(below) + 1 for below in rooms[room]), default=0)
        return found[room]

    for room in rooms:
        floor(room)
    return found


def draw(rooms: dict[str, set[str]], file: Path) -> None:
    """Draw the rooms, with an arrow to each room that one imports.

    Two kinds of arrows are left out: to a room that other arrows lead to, and to the lowest floor, which all may use.

    Args:
        rooms: for each room those that it imports.
        file: the picture, in any format that Matplotlib writes.
    """
    floor_of = floors(rooms)
    by_floor = defaultdict(list)
    for room in sorted(rooms):
        by_floor[floor_of[room]].append(room)
    widest = max(len(row) for row in by_floor.values())
    place = {
        room: ((column + (widest - len(row)) / 2) * WIDTH * 1.15, floor * HEIGHT * 2.6)
        for floor, row in by_floor.items()
        for column, room in enumerate(row)
    }
    figure = Figure(figsize=(widest * 1.45, len(by_floor) * 1.05), layout="constrained")
    axes = figure.subplots()
    for room, used in rooms.items():
        used = {below for below in used if floor_of[below] > 0}
        for below in sorted(used - set().union(*(_all_below(other, rooms) for other in used))):
            (x0, y0), (x1, y1) = place[room], place[below]
            line = FancyArrowPatch(
                (x0, y0 - HEIGHT / 2),
                (x1, y1 + HEIGHT / 2),
                arrowstyle="-|>",
                connectionstyle="arc3,rad=0.12",
                mutation_scale=8,
                color="#adb5bd",
                lw=0.8,
            )
            axes.add_patch(line)
    for room, (x, y) in place.items():
        color = COLORS[floor_of[room] % len(COLORS)]
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0,rounding_size=0.12", fc=color, ec="none"))
        axes.text(x, y, room, color="white", ha="center", va="center", fontsize=10, weight="bold")
    axes.set_xlim(-WIDTH, widest * WIDTH * 1.15)
    axes.set_ylim(-HEIGHT, (max(by_floor) * 2.6 + 1) * HEIGHT)
    axes.axis("off")
    figure.savefig(file, dpi=130)


def _all_below(room: str, rooms: dict[str, set[str]]) -> set[str]:
    return rooms[room].union(*(_all_below(below, rooms) for below in rooms[room]))
