"""Image files of every kind become the same pixels."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from cnnkit.data.images.decode import UnreadableImage, read_image

SUFFIXES = ["png", "jpg", "webp", "bmp", "gif", "tif"]
# Two colors, side by side: tells left from right, and is exact where compression is lossy.
LEFT, RIGHT = (200, 40, 40), (40, 40, 200)


def halves(width: int = 64, height: int = 32) -> Image.Image:
    image = Image.new("RGB", (width, height), LEFT)
    image.paste(RIGHT, (width // 2, 0, width, height))
    return image


def corner(pixels: torch.Tensor, row: int, column: int) -> list[int]:
    return pixels[:, row, column].tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_its_pixels_under_any_name(suffix: str, tmp_path: Path) -> None:
    halves().save(tmp_path / f"a.{suffix}", quality=95)
    (tmp_path / f"a.{suffix}").rename(tmp_path / "a.jpeg")
    pixels = read_image(tmp_path / "a.jpeg", 3, None)
    assert (pixels.shape, pixels.dtype) == ((3, 32, 64), torch.uint8)
    assert pixels.is_contiguous()
    assert corner(pixels, 5, 5) == pytest.approx(LEFT, abs=3)
    assert corner(pixels, 5, -5) == pytest.approx(RIGHT, abs=3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright_as_exif_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    tall = halves(640, 320)
    tall.paste((40, 200, 40), (0, 0, 160, 80))
    tall.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).transpose(2, 0, 1)
    whole = read_image(tmp_path / f"a.{suffix}", 3, None)
    assert torch.equal(whole, torch.from_numpy(expected.copy()))
    size = (32, 16) if orientation > 4 else (16, 32)  # scaled down far enough for JPEG's shortcut
    small = read_image(tmp_path / f"a.{suffix}", 3, size)
    for row in (2, -3):
        for column in (2, -3):
            assert corner(small, row, column) == pytest.approx(corner(whole, row * 20, column * 20), abs=8)


@pytest.mark.parametrize(
    ("mode", "file"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("YCbCr", "a.tif"), ("P", "a.png"), ("P", "a.gif")]
)
def test_other_color_spaces_become_rgb(mode: str, file: str, tmp_path: Path) -> None:
    (halves().quantize() if mode == "P" else halves().convert(mode)).save(tmp_path / file)
    pixels = read_image(tmp_path / file, 3, None)
    assert corner(pixels, 5, 5) == pytest.approx(LEFT, abs=4)
    assert corner(pixels, 5, -5) == pytest.approx(RIGHT, abs=4)


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(halves(), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert lab is not None
    lab.save(tmp_path / "a.tif")
    assert corner(read_image(tmp_path / "a.tif", 3, None), 5, 5) == pytest.approx(LEFT, abs=4)


def test_gray_is_the_usual_weighting_of_the_colors(tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")
    gray = read_image(tmp_path / "a.png", 1, None)
    assert gray.shape == (1, 32, 64)
    assert int(gray[0, 5, 5]) == round(0.299 * 200 + 0.587 * 40 + 0.114 * 40)
    assert read_image(tmp_path / "a.png", 3, None)[:, 5, 5].tolist() == list(LEFT)


def test_transparent_parts_become_white_in_proportion(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 51))
    image.putpixel((2, 0), (10, 20, 30, 255))
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 3, None)[:, 0].T.tolist() == [[255] * 3, [204] * 3, [10, 20, 30]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    for suffix in ("png", "gif"):
        palette.save(tmp_path / f"p.{suffix}", transparency=0)
        assert read_image(tmp_path / f"p.{suffix}", 3, None)[:, 0].T.tolist() == [[255] * 3, [10, 20, 30]]
    Image.new("LA", (1, 1), (0, 51)).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png", 1, None).item() == 204


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("file", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_not_clipped(file: str, channels: int, tmp_path: Path) -> None:
    values = np.array([[0, 256, 30_000, 65_535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / file)
    assert read_image(tmp_path / file, channels, None)[0, 0].tolist() == [0, 1, 117, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 0.2, 1], np.float32), [0, 51, 255]),
        (np.array([0, 0.2, 100], np.float32), [0, 0, 100]),
        (np.array([0, 25_700, 65_535], np.float32), [0, 100, 255]),
        (np.array([-1, 0, 1], np.float32), [0, 128, 255]),
        (np.array([np.nan, 0.2, np.inf], np.float32), [0, 51, 0]),
        (np.array([0, 25_700, 65_535], np.int32), [0, 100, 255]),
        (np.array([0, 2**30, 2**31 - 2], np.int32), [0, 128, 255]),
        (np.array([-7, -7, -7], np.int32), [0, 0, 0]),
    ],
)
def test_wider_pixels_are_scaled_by_their_range(values: np.ndarray, expected: list[int], tmp_path: Path) -> None:
    Image.fromarray(values[None]).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", 1, None).flatten().tolist() == pytest.approx(expected, abs=1)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 1, None).flatten().tolist() == [0, 255]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_image_of_several_is_taken(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (LEFT, RIGHT, "white")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    assert corner(read_image(tmp_path / f"a.{suffix}", 3, None), 3, 3) == list(LEFT)


def test_ways_to_come_to_a_size(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), "white")
    image.paste(LEFT, (0, 0, 16, 32))
    image.paste(RIGHT, (48, 0, 64, 32))
    image.save(tmp_path / "a.png")
    crop, squash, pad = (read_image(tmp_path / "a.png", 1, (16, 16), how) for how in ("crop", "squash", "pad"))
    assert crop[0, :, 1:-1].min() == 255  # the colored quarters on both sides are gone
    assert squash[0, 8, [0, 8, 15]].tolist() == [88, 255, 58]
    assert (squash[0] == 255).float().mean() == pytest.approx(0.5, abs=0.2)
    assert pad[0, :4].max() == pad[0, 12:].max() == 0
    assert pad[0, 4:12].min() > 0
    assert read_image(tmp_path / "a.png", 3, (10, 30)).shape == (3, 10, 30)
    assert read_image(tmp_path / "a.png", 3, (128, 96), "pad").shape == (3, 128, 96)


def test_scaling_down_averages(tmp_path: Path) -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    small = read_image(tmp_path / "a.png", 1, (16, 16)).float()
    assert (small - 127.5).abs().max() < 20  # picking single pixels would give black or white


def test_the_shortcut_of_large_jpegs_shows_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((1001, 751))
    noise.save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        box = ((1001 - 751) / 2, 0, (1001 + 751) / 2, 751)
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR, box)).transpose(2, 0, 1)
    found = read_image(tmp_path / "a.jpg", 3, (32, 32)).numpy()
    assert np.abs(found.astype(float) - expected).mean() < 1.5  # half a pixel off would be 4


def test_the_pixel_limit_is_a_setting(tmp_path: Path) -> None:
    halves(64, 32).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 3, None, max_pixels=64 * 32).shape == (3, 32, 64)
    with pytest.raises(UnreadableImage, match="64x32 pixels are more than max_pixels, 2047"):
        read_image(tmp_path / "a.png", 3, None, max_pixels=64 * 32 - 1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_metadata_do_not_matter(tmp_path: Path) -> None:
    halves().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg", 3, None).shape == (3, 32, 64)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["crop", "squash", "pad"]), st.integers(64, 500), st.integers(64, 500))
def test_a_jpeg_at_reduced_scale_is_close_to_its_full_decode(seed: int, resize: str, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    grid = int(rng.integers(3, 40))
    coarse = Image.fromarray(rng.integers(0, 256, (grid, grid, 3), dtype=np.uint8)).resize((width, height), 3)
    noisy = np.asarray(coarse, dtype=np.float32) + rng.normal(0, rng.choice([0, 12, 40]), (height, width, 3))
    size = int(rng.integers(8, 120)), int(rng.integers(8, 120))
    with tempfile.TemporaryDirectory() as folder:
        jpeg, whole = Path(folder, "a.jpg"), Path(folder, "a.png")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(jpeg, quality=85, subsampling=int(rng.choice([0, 2])))
        with Image.open(jpeg) as image:
            image.save(whole)
        found, expected = (read_image(file, 3, size, resize).int() for file in (jpeg, whole))
    difference = (found - expected).abs().float()
    if 4 * max(size) > min(width, height):
        assert difference.max() == 0  # there is no reduced scale of at least twice the size
    assert difference.mean() < 3
    assert difference.max() < 32
