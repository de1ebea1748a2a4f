"""`filter`: an image file in, an image file out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import ndimage
from small_runs import Cli

from cnnkit.classroom.filters import FILTERS, make_kernel


@pytest.fixture
def photo(cli: Cli) -> np.ndarray:
    """``photo.png`` in the current folder, 40 wide, 30 high."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return pixels


def test_the_file_holds_what_scipy_makes_of_the_image(cli: Cli, photo: np.ndarray) -> None:
    ended = cli("classroom", "filter", "gaussian", "photo.png", "--sigma", "1.5", "--size", "7", "-o", "blurred.bmp")
    assert (ended.code, ended.out, ended.err) == (0, "blurred.bmp\n", "")
    expected = ndimage.gaussian_filter(photo.astype(float), (1.5, 1.5, 0), mode="nearest", radius=(3, 3, 0))
    result = Image.open("blurred.bmp")
    assert result.format == "BMP"
    np.testing.assert_allclose(np.asarray(result, dtype=float), expected, atol=0.501)


def test_without_output_the_name_says_what_it_is(cli: Cli, photo: np.ndarray) -> None:
    Path("in").mkdir()
    Path("photo.png").rename("in/photo.png")
    ended = cli("classroom", "filter", "sobel", "in/photo.png", "--json")
    assert json.loads(ended.out) == {
        "filter": "sobel",
        "image": "in/photo.png",
        "picture": "photo_sobel.png",
        "shape": [3, 30, 40],
    }
    assert Image.open("photo_sobel.png").size == (40, 30)


def test_gray_stays_gray_but_for_sepia(cli: Cli, photo: np.ndarray) -> None:
    Image.fromarray(photo).convert("L").save("gray.png")
    for name, mode in {"sharpen": "L", "sepia": "RGB"}.items():
        assert cli("classroom", "filter", name, "gray.png", "-o", "out.png").code == 0
        assert Image.open("out.png").mode == mode


def test_photographs_are_turned_upright(cli: Cli, photo: np.ndarray) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned by a quarter to the right
    Image.fromarray(photo).save("turned.png", exif=exif)
    assert cli("classroom", "filter", "box", "turned.png", "--size", "1", "-o", "out.tiff").code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("out.tiff")), np.rot90(photo, -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".gif", ".tif"])
def test_the_suffix_is_the_format(cli: Cli, photo: np.ndarray, suffix: str) -> None:
    assert cli("classroom", "filter", "emboss", "photo.png", "-o", f"out{suffix}").code == 0
    formats = {"jpg": "JPEG", "tif": "TIFF"}
    kind = suffix[1:].lower()
    assert Image.open(f"out{suffix}").format == formats.get(kind, kind.upper())


def test_the_list_has_every_filter(cli: Cli) -> None:
    ended = cli("classroom", "filter", "--list")
    assert ended.code == 0
    assert set(FILTERS) <= set(ended.out.split())
    found = json.loads(cli("classroom", "filter", "--list", "--json").out)
    assert {each["name"]: each["kernel"] for each in found} == {name: make_kernel(name).tolist() for name in FILTERS}


MISTAKES = [
    ("", "name a filter and an image"),
    ("sobel", "name a filter and an image"),
    ("sobl photo.png", "there is no filter 'sobl'; did you mean sobel?"),
    ("gausian photo.png", "there is no filter 'gausian'; did you mean gaussian?"),
    ("sobel nothing.png", "nothing.png: no such file"),
    ("sobel folder.png", "folder.png: a folder; name an image file (PNG, JPEG"),
    ("sobel nothing.png -o /proc/out.png", "/proc/out.png: cannot be written (No such file"),
    ("sobel text.png", "text.png: not an image of a known format"),
    ("sobel huge.png", "huge.png: 9000x9000 pixels are more than"),
    ("sobel photo.png -o photo.png", "output is photo.png, the image itself"),
    ("sobel photo.png -o link.png", "output is link.png, the image itself"),
    ("sobel photo.png -o out.xyz", "output is out.xyz: give a file that ends in .png, .jpg"),
    ("sobel photo.png -o out", "output is out: give a file that ends in"),
    ("sobel photo.png -o /proc/out.png", "/proc/out.png: cannot be written (No such file"),
    ("box photo.png --size 4", "size is 4: give an odd number"),
    ("box photo.png --size 0", "--size: expected a whole number from 1 on, got '0'"),
    ("gaussian photo.png --sigma -1", "sigma is -1.0: give pixels above 0"),
    ("gaussian photo.png --sigm 1", "--sigm: unknown word; did you mean --sigma?"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_told_in_a_line_and_writes_nothing(cli: Cli, photo: np.ndarray, words: str, expected: str) -> None:
    Path("text.png").write_text("hello")
    Path("folder.png").mkdir()
    Path("link.png").symlink_to("photo.png")
    if "huge" in words:
        Image.new("1", (9000, 9000)).save("huge.png")
    before = {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    ended = cli("classroom", "filter", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
