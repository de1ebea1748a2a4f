"""Draw 300 photos of bolts, nuts and washers, few of them washers, with the faults that real folders have.

Run: python docs/photos/make_photos.py [FOLDER]      (photos)
"""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COUNTS = {"bolt": 190, "nut": 80, "washer": 30}
SCALE = 2  # drawn at twice the size, for smooth edges


def draw_part(kind: str, rng: np.random.Generator) -> Image.Image:
    """Draw one part of metal on a bench, 240 to 400 pixels wide, under a light of its own."""
    width, height = (int(side) for side in rng.integers(240, 401, 2))
    bench = rng.uniform(50, 170) + rng.uniform(-25, 25, 3)  # gray to brown, green or blue
    grain = rng.normal(0, 14, (height // 8, width // 8, 1)) + rng.normal(0, 5, (height // 8, width // 8, 3))
    picture = Image.fromarray((bench + grain).clip(0, 255).astype(np.uint8)).resize((width, height), Image.BICUBIC)

    side = SCALE * min(width, height)
    mask = Image.new("L", (side, side))
    pencil = ImageDraw.Draw(mask)
    middle, radius = side / 2, side * rng.uniform(0.1, 0.24)
    if kind == "bolt":
        pencil.polygon(_hexagon(middle - radius * 0.9, middle, radius * 0.55), fill=255)
        half, end = radius * rng.uniform(0.2, 0.28), middle + radius * rng.uniform(0.8, 1.2)
        pencil.rectangle((middle - radius * 0.9, middle - half, end, middle + half), fill=255)
    else:
        hole = radius * rng.uniform(0.4, 0.62)
        if kind == "nut":
            pencil.polygon(_hexagon(middle, middle, radius), fill=255)
        else:
            pencil.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=255)
        pencil.ellipse((middle - hole, middle - hole, middle + hole, middle + hole), fill=0)
    tilted = mask.rotate(rng.uniform(0, 360), Image.BICUBIC).resize((side, int(side * rng.uniform(0.55, 1))))
    mask = tilted.rotate(rng.uniform(0, 360), Image.BICUBIC, expand=True)
    mask = mask.resize((mask.width // SCALE, mask.height // SCALE), Image.LANCZOS)

    light = rng.uniform(110, 225) + rng.uniform(-50, 50) * np.linspace(-1, 1, mask.height)[:, None, None]
    metal = light + rng.normal(0, 9, (mask.height, mask.width, 1)) + np.array([0, 2, 8]) * rng.uniform(0, 2)
    part = Image.fromarray(metal.clip(0, 255).astype(np.uint8))
    corner = tuple(int(rng.uniform(-0.12, 1.12) * (a - b)) for a, b in zip(picture.size, mask.size, strict=True))
    shadow = mask.filter(ImageFilter.GaussianBlur(6)).point(lambda value: value * 0.45)
    picture.paste((0, 0, 0), (corner[0] + 6, corner[1] + 8), shadow)
    picture.paste(part, corner, mask)
    _scatter_wire(picture, rng)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.4)))


def _scatter_wire(picture: Image.Image, rng: np.random.Generator) -> None:
    """Lay pieces of wire on the bench, some of them over the part."""
    pencil = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 9)):
        x, y, angle, length = *rng.uniform(0, picture.size), rng.uniform(0, math.tau), rng.uniform(20, 120)
        ends = (x, y, x + length * math.cos(angle), y + length * math.sin(angle))
        shade = int(rng.uniform(30, 230))
        pencil.line(ends, fill=(shade, shade, shade), width=int(rng.integers(2, 9)))


def _hexagon(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    return [(x + radius * math.cos(k * math.pi / 3), y + radius * math.sin(k * math.pi / 3)) for k in range(6)]


def make_photos(folder: Path, seed: int = 0) -> None:
    """Write ``folder/<class>/<number>.jpg``, 300 in all, and then spoil some.

    A photo is there twice, one is a copy at another size, one file is cut off, and one nut lies with the bolts.
    """
    rng = np.random.default_rng(seed)
    for kind, count in COUNTS.items():
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            draw_part(kind, rng).save(folder / kind / f"{number:03}.jpg", quality=88)
    shutil.copy(folder / "bolt" / "000.jpg", folder / "bolt" / "188.jpg")
    with Image.open(folder / "nut" / "000.jpg") as photo:
        photo.resize((photo.width * 3 // 4, photo.height * 3 // 4)).save(folder / "nut" / "079.jpg", quality=70)
    cut = folder / "washer" / "000.jpg"
    cut.write_bytes(cut.read_bytes()[:2000])
    draw_part("nut", rng).save(folder / "bolt" / "189.jpg", quality=88)


if __name__ == "__main__":
    make_photos(Path(sys.argv[1] if len(sys.argv) > 1 else "photos"))
