"""Large images are decoded by bands of rows: with the same pixels as whole, and in little memory."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from tiny_images import make_png, make_tiff

from cnnkit.data.images import bands, flattening
from cnnkit.data.images.decode import UnreadableImage, read_image

RNG = np.random.default_rng(0)
SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (12, 9, 4), dtype=np.uint8)).resize((331, 497), Image.Resampling.BICUBIC)
)


def make_file(kind: str, folder: Path) -> Path:
    mode, _, suffix = kind.partition(".")
    path = folder / f"a.{suffix.rpartition(' ')[2]}"
    options: dict[str, object] = {}
    if suffix.endswith("tif"):
        options = {"compression": suffix.partition(" ")[0]} if " " in suffix else {}
    if suffix == "webp":
        options = {"lossless": True}
    if mode == "I;16":
        wide = (SMOOTH[..., 0].astype(np.uint16) << 8) + SMOOTH[..., 1]
        Image.fromarray(wide).save(path, **options)  # type: ignore[arg-type]
    elif mode in "IF":
        Image.fromarray(SMOOTH[..., 0].astype(np.int32 if mode == "I" else np.float32) * 5000 - 99).save(
            path, **options
        )  # type: ignore[arg-type]
    else:
        Image.fromarray(SMOOTH).convert(mode).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    "kind",
    ["RGB.png", "RGBA.png", "L.png", "LA.png", "I;16.png", "RGB.bmp", "RGB.ppm", "RGB.tga", "RGBA.tga", "RGB.tif",
     "RGB.tiff_lzw tif", "RGBA.tiff_deflate tif", "RGB.jpeg tif", "I.tiff_deflate tif", "F.tif", "F.tiff_lzw tif",
     "CMYK.tiff_lzw tif", "I;16.tiff_lzw tif", "RGB.jpg", "P.gif", "P.png"],
)  # fmt: skip
def test_bands_give_the_pixels_of_the_whole(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_file(kind, tmp_path)
    cases = [((16, 12), "crop"), ((16, 12), "squash"), ((9, 20), "pad"), ((200, 300), "crop")]
    whole = [read_image(path, channels, size, how) for size, how in cases for channels in (1, 3)]
    monkeypatch.setattr(bands, "WHOLE", 0)
    monkeypatch.setattr(flattening, "BAND_PIXELS", 331 * 13)
    found = [read_image(path, channels, size, how) for size, how in cases for channels in (1, 3)]
    for one, other in zip(whole, found, strict=True):
        assert torch.equal(one, other)


def test_tiles_planes_and_sixteen_bit_colors_by_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Pillow does not write."""
    colors = SMOOTH[:480, :320, :3]
    tiles = [
        zlib.compress(colors[y : y + 16, x : x + 32].tobytes()) for y in range(0, 480, 16) for x in range(0, 320, 32)
    ]
    size = {256: [320], 257: [480], 258: [8, 8, 8], 262: [2], 277: [3]}
    tiled = make_tiff({**size, 259: [8], 322: [32], 323: [16]}, tiles, tiled=True)
    planes = [zlib.compress(colors[y : y + 48, :, c].tobytes()) for c in range(3) for y in range(0, 480, 48)]
    planar = make_tiff({**size, 259: [8], 278: [48], 284: [2]}, planes)
    big = [zlib.compress(colors[y : y + 48].astype(">u2").tobytes()) for y in range(0, 480, 48)]
    wide = make_tiff({**size, 258: [16] * 3, 259: [8], 278: [48]}, big, ">")
    monkeypatch.setattr(flattening, "BAND_PIXELS", 320 * 50)
    for name, content, factor in (("tiled", tiled, 1), ("planar", planar, 1), ("wide", wide, 256)):
        path = tmp_path / f"{name}.tif"
        path.write_bytes(content)
        monkeypatch.setattr(bands, "WHOLE", 1 << 30)
        whole = read_image(path, 3, None)
        np.testing.assert_array_equal(whole.permute(1, 2, 0), colors if factor == 1 else colors * 0)
        one = read_image(path, 3, (20, 20))
        monkeypatch.setattr(bands, "WHOLE", 0)
        assert torch.equal(read_image(path, 3, (20, 20)), one)


def test_png_with_every_filter_and_sixteen_bit_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flattening, "BAND_PIXELS", 331 * 7)
    for color, samples in ((2, 3), (6, 4), (4, 2), (0, 1)):
        pixels = RNG.integers(0, 65536, (497, 331, samples), dtype=np.uint16)
        content = make_png(331, 16, color, [row.astype(">u2").tobytes() for row in pixels])
        # The same bytes under other filters are another picture, but one that both ways must agree on.
        raw = bytearray(zlib.decompress(content[content.index(b"IDAT") + 4 : -16]))
        raw[:: 331 * samples * 2 + 1] = bytes(y % 5 for y in range(497))
        start = content.index(b"IDAT") - 4
        packed = zlib.compress(bytes(raw))
        chunk = b"IDAT" + packed
        content = (
            content[:start]
            + len(packed).to_bytes(4, "big")
            + chunk
            + zlib.crc32(chunk).to_bytes(4, "big")
            + content[-12:]
        )
        (tmp_path / "a.png").write_bytes(content)
        monkeypatch.setattr(bands, "WHOLE", 1 << 30)
        whole = read_image(tmp_path / "a.png", 3, (30, 30))
        monkeypatch.setattr(bands, "WHOLE", 0)
        assert torch.equal(read_image(tmp_path / "a.png", 3, (30, 30)), whole)
        (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
        with pytest.raises(UnreadableImage, match="truncated"):
            read_image(tmp_path / "cut.png", 3, (30, 30))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_bands_stand_upright(suffix: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(SMOOTH).convert("RGB").save(path, exif=exif)
    if suffix == "png" and after:  # where the standard allows it, too
        content = path.read_bytes()
        start = content.index(b"eXIf") - 4
        chunk = content[start : start + 12 + int.from_bytes(content[start : start + 4], "big")]
        path.write_bytes(content.replace(chunk, b"")[:-12] + chunk + content[-12:])
    whole = read_image(path, 3, (30, 20))
    assert whole[:, 0].float().sub(whole[:, -1].float()).abs().max() > 9
    monkeypatch.setattr(bands, "WHOLE", 0)
    assert torch.equal(read_image(path, 3, (30, 20)), whole)


def test_what_would_take_too_much_memory_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(SMOOTH).convert("RGB").save(tmp_path / "a.png")
    Image.fromarray(SMOOTH).convert("RGB").save(tmp_path / "a.avif")
    monkeypatch.setattr(bands, "WHOLE", 1000)
    monkeypatch.setattr(bands, "BAND", 0)
    monkeypatch.setattr(bands, "LIMIT", 9 * 331 * 497)
    read_image(tmp_path / "a.png", 3, (8, 8))
    with pytest.raises(
        UnreadableImage, match=r"decoding 331x497 pixels of AVIF takes 2 MB.* or set max_pixels to 69_000_000"
    ):
        read_image(tmp_path / "a.avif", 3, (8, 8))
    assert read_image(tmp_path / "a.avif", 3, (8, 8), max_pixels=69_000_000).shape == (3, 8, 8)


def test_large_jpeg_2000_is_decoded_with_less_detail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = Image.fromarray(SMOOTH).convert("RGB").resize((992, 1488))
    smooth.save(tmp_path / "a.jp2")
    whole = read_image(tmp_path / "a.jp2", 3, (32, 32)).float()
    monkeypatch.setattr(bands, "WHOLE", 0)
    monkeypatch.setattr(bands, "BAND", 0)
    for least in (1, 4, 16):
        monkeypatch.setattr(bands, "LIMIT", 20 * 992 * 1488 / least)
        assert (read_image(tmp_path / "a.jp2", 3, (32, 32)).float() - whole).abs().mean() < 2.5
    with pytest.raises(UnreadableImage, match="set max_pixels to"):
        read_image(tmp_path / "a.jp2", 3, (900, 900))


def test_decoders_in_python_have_a_bound_of_time(tmp_path: Path) -> None:
    Image.new("RGB", (1100, 1001)).save(tmp_path / "a.dds")  # its header is enough: nothing is decoded
    with pytest.raises(
        UnreadableImage, match="DDS of more than 1,100,000 pixels is decoded too slowly: save it as PNG"
    ):
        read_image(tmp_path / "a.dds", 3, (8, 8))
    Image.new("RGB", (1100, 1001)).save(tmp_path / "b.dds", pixel_format="DXT1")
    assert read_image(tmp_path / "b.dds", 3, (8, 8)).shape == (3, 8, 8)


MEASURE = """
import sys
from pathlib import Path
from cnnkit.data.images.decode import read_image

def memory(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024

small, *large = sys.argv[1:]
read_image(small, 3, (64, 64))
for file in large:
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    try:
        read_image(file, 3, (64, 64))
        outcome = "read"
    except Exception as error:
        outcome = str(error)
    print(f"{memory('VmHWM') - before:.0f} {outcome}")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells the memory")
def test_no_image_of_the_default_size_takes_more_than_200_megabytes(tmp_path: Path) -> None:
    """8000 x 8000 pixels, the most that max_pixels allows, in the formats that hold them."""
    ramp = np.broadcast_to(np.arange(8000, dtype=np.uint16), (8000, 8000))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "gray16.png", compress_level=1)
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "gray16.tif", compression="tiff_deflate")
    color = np.empty((8000, 8000, 3), np.uint8)
    color[..., 0], color[..., 1], color[..., 2] = ramp >> 5, ramp.T >> 5, 90
    image = Image.fromarray(color)
    for name, options in {
        "color.png": {"compress_level": 1}, "color.bmp": {}, "color.ppm": {}, "color.jpg": {}, "color.tif": {},
        "lzw.tif": {"compression": "tiff_lzw"}, "progressive.jpg": {"progressive": True},
    }.items():  # fmt: skip
        image.save(tmp_path / name, **options)  # type: ignore[arg-type]
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tif")
    image.resize((64, 64)).save(tmp_path / "small.png")
    del color, image
    files = sorted(file for file in tmp_path.iterdir() if file.name != "small.png")
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "small.png"), *map(str, files)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for file, line in zip(files, lines, strict=True):
        megabytes, _, outcome = line.partition(" ")
        assert int(megabytes) < 200, lines
        assert outcome == "read", (file.name, line)
