"""Pixels of more or fewer than eight bits, against what the formats' specifications say of the bytes in the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from tiny_images import make_png, make_tiff

from cnnkit.data.images.bit_depth import find_scale
from cnnkit.data.images.decode import UnreadableImage, read_image

ORDERS = ["<", ">"]


def read_gray(content: bytes, folder: Path) -> list[int]:
    (folder / "a.tif").write_bytes(content)
    return read_image(folder / "a.tif", 1, None).flatten().tolist()


def gray_tiff(values: np.ndarray, order: str, compressed: bool, sample_format: int = 1, photometric: int = 1) -> bytes:
    raw = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = {256: [values.size], 257: [1], 258: [values.itemsize * 8], 262: [photometric], 339: [sample_format]}
    return make_tiff({**tags, 259: [8 if compressed else 1]}, [zlib.compress(raw) if compressed else raw], order)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("values", "sample_format", "photometric", "expected"),
    [
        (np.array([0, 257, 30_000, 65_535], np.uint16), 1, 1, [0, 1, 117, 255]),
        (np.array([0, 257, 30_000, 65_535], np.uint16), 1, 0, [255, 254, 138, 0]),  # white is zero
        (np.array([0, 2**31 - 1, 2**31, 2**32 - 1], np.uint32), 1, 1, [0, 127, 128, 255]),
        (np.array([0, 257, 65_535], np.uint32), 1, 1, [0, 1, 255]),
        (np.array([-2, -1, 2], np.int16), 2, 1, [0, 64, 255]),
        (np.array([0, 257, 30_000], np.int16), 2, 1, [0, 1, 117]),
        (np.array([-2, -1, 2], np.int32), 2, 1, [0, 64, 255]),
        (np.array([0, 0.2, 1], np.float32), 3, 1, [0, 51, 255]),
        (np.array([0, 20, 100], np.int8), 2, 1, []),
        (np.array([0, 0.2, 1], np.float64), 3, 1, []),
        (np.array([0, 0.2, 1], np.float16), 3, 1, []),
    ],
)
def test_gray_tiffs_are_right_or_refused(
    values: np.ndarray, sample_format: int, photometric: int, expected: list[int], order: str, compressed: bool,
    tmp_path: Path,
) -> None:  # fmt: skip
    content, bits = gray_tiff(values, order, compressed, sample_format, photometric), values.itemsize * 8
    # Pillow knows no unsigned 32-bit and no white-is-zero pixels in big-endian order.
    unknown = order == ">" and (photometric == 0 or (bits, sample_format) == (32, 1))
    if expected and not unknown:
        assert read_gray(content, tmp_path) == pytest.approx(expected, abs=0.6)
    else:
        with pytest.raises(UnreadableImage, match=rf"a TIFF of 1 x {bits}-bit .* convert it to 8-bit or 16-bit$"):
            read_gray(content, tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
def test_twelve_bits_fill_the_range(compressed: bool, tmp_path: Path) -> None:
    values = [0, 16, 2048, 4095]
    raw = int("".join(f"{value:012b}" for value in values), 2).to_bytes(6, "big")
    tags = {256: [4], 257: [1], 258: [12], 259: [8 if compressed else 1]}
    content = make_tiff(tags, [zlib.compress(raw) if compressed else raw])
    assert read_gray(content, tmp_path) == [round(value * 255 / 4095) for value in values]
    with pytest.raises(UnreadableImage, match=r"1 x 12-bit unsigned samples a pixel \(white-is-zero"):
        read_gray(make_tiff({**tags, 259: [1], 262: [0]}, [raw]), tmp_path)


@pytest.mark.parametrize(
    ("tags", "strips", "reason"),
    [
        ({278: [1]}, [b"abcdef", b"ghijkl"], "2 of 4 strips"),
        ({278: [2]}, [b"abcdefghijkl", b"mno"], "strip 1 has 3 of 12 bytes"),
        ({}, [b"abcdefghijkl"], "strip 0 has 12 of 24 bytes"),
        ({278: [1], 259: [8]}, [zlib.compress(b"abcdef")] * 2, "2 of 4 strips"),
        ({259: [8]}, [zlib.compress(b"abcdefghijkl")], "decoder error"),
    ],
)
def test_tiffs_with_too_few_strips_are_refused(
    tags: dict[int, list[int]], strips: list[bytes], reason: str, tmp_path: Path
) -> None:
    content = make_tiff({256: [6], 257: [4], **tags}, strips) + bytes(100)  # more file follows
    with pytest.raises(UnreadableImage, match=reason):
        read_gray(content, tmp_path)


def test_planes_of_sixteen_bit_colors_are_read_as_such(tmp_path: Path) -> None:
    planes = [struct.pack("<2H", *pair) for pair in ((256, 65_535), (512, 0), (768, 257))]
    tags = {256: [2], 257: [1], 258: [16] * 3, 262: [2], 277: [3], 284: [2]}
    (tmp_path / "a.tif").write_bytes(make_tiff(tags, planes))
    assert read_image(tmp_path / "a.tif", 3, None)[:, 0].tolist() == [[1, 255], [2, 0], [3, 1]]


@pytest.mark.parametrize(("sample_format", "kind"), [(3, "floating-point"), (2, "signed")])
def test_colors_that_are_no_unsigned_integers_are_refused(sample_format: int, kind: str, tmp_path: Path) -> None:
    tags = {256: [1], 257: [1], 258: [32] * 3, 262: [2], 277: [3], 339: [sample_format] * 3}
    with pytest.raises(UnreadableImage, match=rf"3 x 32-bit {kind} samples a pixel \(RGB\) is not read"):
        read_gray(make_tiff(tags, [bytes(12)]), tmp_path)


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "expected"),
    [
        (1, b"\xa0", 1, [255, 0, 255]),
        (1, b"\xa0", 0, [255, 255, 255]),
        (2, b"\x18", 2, [0, 85, 255]),  # 0 1 2
        (4, b"\x03\x50", 3, [0, 255, 85]),
        (8, bytes([0, 3, 200]), 3, [0, 255, 200]),
        (16, struct.pack(">3H", 0, 770, 771), 771, [0, 3, 255]),
    ],
)
def test_a_transparent_gray_becomes_white_at_any_depth(
    depth: int, row: bytes, transparent: int, expected: list[int], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(make_png(3, depth, 0, [row], struct.pack(">H", transparent)))
    assert read_image(tmp_path / "a.png", 1, None).flatten().tolist() == expected
    assert read_image(tmp_path / "a.png", 3, None)[2].flatten().tolist() == expected


def test_a_transparent_sixteen_bit_color_is_refused(tmp_path: Path) -> None:
    row = struct.pack(">6H", 256, 512, 768, 257, 512, 768)
    (tmp_path / "a.png").write_bytes(make_png(2, 16, 2, [row], struct.pack(">3H", 256, 512, 768)))
    with pytest.raises(UnreadableImage, match="16-bit RGB with a transparent color"):
        read_image(tmp_path / "a.png", 3, None)
    (tmp_path / "a.png").write_bytes(make_png(2, 16, 2, [row]))
    assert read_image(tmp_path / "a.png", 3, None)[:, 0].T.tolist() == [[1, 2, 3]] * 2


def test_a_range_is_found_from_parts_as_from_the_whole() -> None:
    values = np.array([[0.5, np.nan], [-3, 7]], np.float32)
    assert find_scale(iter(values)) == find_scale([values])
    np.testing.assert_array_equal(find_scale([values]).apply(values), [[89, 0], [0, 255]])
    sixteen = np.arange(65536, dtype=np.uint16)
    exact = (sixteen * (255 / 65535)).round()
    np.testing.assert_array_equal(find_scale([sixteen]).apply(sixteen), exact)
    np.testing.assert_array_equal(find_scale([sixteen], inverted=True).apply(sixteen), 255 - exact)
