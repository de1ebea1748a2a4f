"""An image in memory has the pixels of the file with the same content, and the same reasons why it is unreadable."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from cnnkit.data.images import bands, flattening
from cnnkit.data.images.decode import TooManyPixels, UnreadableImage, read_image
from cnnkit.data.images.source import EncodedImage

FORMATS = {
    **{"a.png": {}, "a.jpg": {"quality": 70}, "a.webp": {}, "a.gif": {}, "a.bmp": {}, "a.ppm": {}, "a.tga": {}},
    **{"a.tif": {}, "lzw.tif": {"compression": "tiff_lzw"}, "jpeg.tif": {"compression": "jpeg"}, "a.jp2": {}},
    **{"a.avif": {}, "a.heic": {}, "a.ico": {}, "a.qoi": {}, "a.pcx": {}, "a.sgi": {}, "a.dds": {}},
}


def draw(width: int, height: int) -> Image.Image:
    rough = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def check_equal(file: Path) -> None:
    content = EncodedImage(file.name, file.read_bytes())
    for channels, size in ((3, (24, 20)), (1, (24, 20)), (3, None)):
        of_file = read_image(file, channels, size)
        assert torch.equal(read_image(content, channels, size), of_file)
        assert len(of_file.unique()) > 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("in_bands", [False, True])
def test_every_format_has_the_pixels_of_its_file(
    name: str, in_bands: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_bands:
        monkeypatch.setattr(bands, "WHOLE", 0)
        monkeypatch.setattr(flattening, "BAND_PIXELS", 200 * 13)
    if name == "a.heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with_exif = {"exif": exif} if name in ("a.png", "a.jpg", "a.webp", "a.tif") else {}
    draw(200, 120).save(tmp_path / name, **FORMATS[name], **with_exif)
    check_equal(tmp_path / name)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16", "CMYK", "F"])
def test_every_mode_has_the_pixels_of_its_file(mode: str, tmp_path: Path) -> None:
    gray = np.asarray(draw(90, 70).convert("L"))
    wide = {"I;16": gray.astype(np.uint16) * 250, "F": gray.astype(np.float32)}
    image = Image.fromarray(wide[mode]) if mode in wide else draw(90, 70).convert(mode)
    file = tmp_path / ("a.tif" if mode in ("CMYK", "F") else "a.png")
    image.save(file)
    if mode == "1":  # two values, of which a small image has more
        content = EncodedImage("a.png", file.read_bytes())
        assert torch.equal(read_image(content, 1, (9, 9)), read_image(file, 1, (9, 9)))
    else:
        check_equal(file)


def make_bomb() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(999)))


def test_an_unreadable_content_has_the_reason_of_the_file(tmp_path: Path) -> None:
    draw(90, 70).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    draw(90, 70).save(tmp_path / "whole.tif")
    odd = (tmp_path / "whole.tif").read_bytes()
    contents = {
        "empty.png": b"",
        "text.png": b"hello",
        "half.png": whole[: len(whole) // 2],
        "head.png": whole[:20],
        "bomb.png": make_bomb(),
        "photo.dng": odd,
        "half.tif": odd[: len(odd) // 2],
        "page.pdf": b"%PDF-1.7",
        "film.mp4": b"\0\0\0\x20ftypisom" + bytes(20),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImage) as of_file:
            read_image(tmp_path / name, 3, (24, 20))
        with pytest.raises(UnreadableImage) as of_content:
            read_image(EncodedImage(name, content), 3, (24, 20))
        assert str(of_content.value) == str(of_file.value).replace(f"{tmp_path}/", "")
        assert isinstance(of_content.value, TooManyPixels) == (name == "bomb.png")
