"""Each row of the table of file kinds in docs/data.md, made and read."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from tiny_images import make_png, make_tiff

from cnnkit.data.images import bands
from cnnkit.data.images.decode import UnreadableImage, read_image
from cnnkit.data.images.listing import describe_passed_over, scan_images

DOCUMENT = Path(__file__).parents[3] / "docs/data.md"
RED = (200, 40, 40)


def read_table() -> dict[str, str]:
    """First cell to last, without the quotes of code."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("| file | how it is read | message |")[2]
    rows = [line for line in text.partition("\n\n")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return {first: said.strip("`") for first, _, said in cells}


def save(image: Image.Image, *names: str, **options: object) -> None:
    for name in names:
        image.save(name, **options)  # type: ignore[arg-type]


def red(*names: str, mode: str = "RGB", **options: object) -> None:
    image = Image.new("RGB", (60, 40), RED)
    save(image.quantize() if mode == "P" else image.convert(mode), *names, **options)


def common() -> None:
    red(*(f"{name}.{name}" for name in ("png", "jpg", "webp", "gif", "bmp", "tif")), quality=95)
    for path in list(Path().iterdir()):
        Path(f"{path.stem}.unheard").write_bytes(path.read_bytes())
        Path(f"{path.stem}_again.jpg").write_bytes(path.read_bytes())


def others() -> None:
    red(*(f"a.{name}" for name in ("ppm", "jp2", "avif", "tga", "pcx", "dds", "qoi", "sgi")), quality=95)
    red("a.pgm", mode="L")
    red("a.ico", sizes=[(16, 16)])


def heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    red("photo.heic", quality=95)
    Path("photo.jpg").write_bytes(Path("photo.heic").read_bytes())


def write(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)


def link_to_folder() -> None:
    Path("other/inner").mkdir(parents=True)
    red("other/inner/a.png")
    Path("top").mkdir()
    Path("top/link").symlink_to(Path("other").resolve())
    os.chdir("top")


def loop() -> None:
    red("a.png")
    Path("loop").symlink_to(Path().resolve())


def turned() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    red("a.jpg", exif=exif, quality=95)


def deep(values: list[int], bits: int, sample_format: int = 1, photometric: int = 1, kind: str = "H") -> None:
    tags = {256: [len(values)], 257: [1], 258: [bits], 262: [photometric], 339: [sample_format]}
    write("a.tif", make_tiff(tags, [struct.pack(f"<{len(values)}{kind}", *values)]))


def strips() -> None:
    write("a.tif", make_tiff({256: [6], 257: [4], 278: [1]}, [b"abcdef", b"ghijkl"]))


def truncated() -> None:
    rows = [np.random.default_rng(0).bytes(180) for _ in range(40)]
    write("a.png", make_png(60, 8, 2, rows)[:-2000])


def broken_header() -> None:
    write("a.png", b"\x89PNG\r\n\x1a\n" + bytes(40))


COLOR, RGB, WHITE = [round(0.299 * 200 + 0.587 * 40 + 0.114 * 40)], RED, (255, 255, 255)
EIGHT = struct.pack(">3H", 256, 512, 768)
# The row's first cell: how to make the files; and, if they are read, the gray pixels or the color of the first.
ROWS: dict[str, tuple[Callable[[], object], object]] = {
    "PNG, JPEG, WebP, GIF, BMP, TIFF": (common, RGB),
    "PPM, PGM, JPEG 2000, AVIF, ICO, TGA, PCX, DDS, QOI, SGI and others that Pillow decodes": (others, RGB),
    "HEIC with the extra `cnnkit[heif]`": (heic, RGB),
    "HEIC without it": (lambda: write("photo.heic", b"\0\0\0\x18ftypheic"), None),
    "camera raw (CR2, NEF, ARW, DNG)": (lambda: (red("a.tif"), Path("a.tif").rename("photo.nef")), None),
    "video": (lambda: write("clip.mov", b"\0\0\0\x14ftypqt  "), None),
    "PDF, EPS, SVG, WMF": (lambda: write("figure.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n"), None),
    "any other file that is not an image": (lambda: write("notes.txt", b"notes"), None),
    "hidden: `.name`, `__MACOSX`": (lambda: red(".DS_Store", format="PNG"), None),
    "linked folder": (link_to_folder, RGB),
    "linked folder that was seen before": (loop, RGB),
    "pipe, device, socket": (lambda: os.mkfifo("pipe"), None),
    "linked file": (lambda: (Path("a.png").symlink_to("b.txt"), red("b.txt", format="PNG")), RGB),
    "EXIF orientation": (turned, RGB),
    "CMYK, YCbCr, LAB, palette": (
        lambda: (red("a.jpg", mode="CMYK"), red("b.tif", mode="YCbCr"), red("c.png", mode="P")),
        RGB,
    ),
    "transparency": (lambda: write("a.png", make_png(2, 8, 0, [b"\7\7"], b"\0\7")), [255, 255]),
    "16-bit gray, also white-is-zero": (lambda: deep([0, 30_000, 65_535], 16, photometric=0), [255, 138, 0]),
    "12-bit gray": (
        lambda: write("a.tif", make_tiff({256: [2], 257: [1], 258: [12]}, [bytes([0x80, 0x0F, 0xFF])])),
        [128, 255],
    ),
    "32-bit integer gray, signed or unsigned": (lambda: deep([0, 2**31, 2**32 - 1], 32, kind="I"), [0, 128, 255]),
    "floating-point gray": (lambda: save(Image.fromarray(np.array([[0, 0.2, 1]], np.float32)), "a.tif"), [0, 51, 255]),
    "16-bit color": (lambda: write("a.png", make_png(1, 16, 2, [EIGHT])), (1, 2, 3)),
    "16-bit RGB with a transparent color": (lambda: write("a.png", make_png(1, 16, 2, [EIGHT], EIGHT)), None),
    "TIFF: floating-point or 32-bit RGB, 8-bit signed, 16-bit and 64-bit float, five or more channels": (
        lambda: write(
            "a.tif", make_tiff({256: [1], 257: [1], 258: [32] * 3, 262: [2], 277: [3], 339: [3] * 3}, [bytes(12)])
        ),
        None,
    ),
    "TIFF with strips or tiles missing": (strips, None),
    "1 bit": (lambda: save(Image.fromarray(np.array([[False, True]])), "a.png"), [0, 255]),
    "animation, several pages": (
        lambda: red("a.gif", save_all=True, append_images=[Image.new("RGB", (60, 40), "white")]),
        RGB,
    ),
    "broken EXIF": (lambda: red("a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95), RGB),
    "empty": (lambda: write("a.jpg", b""), None),
    "a broken link": (lambda: Path("a.jpg").symlink_to("nowhere"), None),
    "the suffix of an image, but other content": (lambda: write("a.jpg", b"<html>404</html>"), None),
    "broken header": (broken_header, None),
    "truncated": (truncated, None),
    "more than `max_pixels`": (lambda: red("a.png"), None),
    "within `max_pixels`, but the decoder would take more than 200 MB": (lambda: red("a.webp"), None),
}


def test_the_table_has_these_rows() -> None:
    assert list(read_table()) == list(ROWS)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("row", ROWS)
def test_a_kind_of_file(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, (make, expected) = read_table()[row], ROWS[row]
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("cnnkit.data.images.formats.has_heif", lambda: row != "HEIC without it")
    make()
    if "max_pixels" in row and "decoder" in row:
        monkeypatch.setattr(bands, "WHOLE", 0)
        monkeypatch.setattr(bands, "LIMIT", 1000)
    found = scan_images(Path.cwd())
    for file in found.files:
        if expected is None:
            with pytest.raises(UnreadableImage) as caught:
                read_image(file, 3, (8, 8), max_pixels=2000 if row.startswith("more than") else 64_000_000)
            assert said in str(caught.value)
        elif isinstance(expected, list):
            assert read_image(file, 1, None).flatten().tolist() == pytest.approx(expected, abs=0.6)
        else:
            pixels = read_image(file, 3, None)[:, 0, 0].tolist()
            gray = file.suffix == ".pgm"
            assert pixels == pytest.approx(COLOR * 3 if gray else list(expected), abs=6), file  # type: ignore[call-overload]
    if said and (expected is not None or not found.files):
        assert said in (describe_passed_over(found.passed_over, Path.cwd()) or "")
    assert found.files or said
    assert said or not found.passed_over
