"""Files that are no images, or break while a run goes on."""

import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnkit.data.image_files import FileBatches, ImageFiles
from cnnkit.data.images.decode import UnreadableImage, read_image
from cnnkit.errors import UserError


@pytest.mark.parametrize("workers", [0, 2])
def test_each_broken_file_is_named_once(workers: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"{k}.png" for k in range(6)]
    for file in files[:4]:
        Image.new("L", (4, 4), 9).save(file)
    images = ImageFiles(files, 1, (4, 4), strict=False)
    batches = FileBatches(images, torch.arange(6), torch.arange(6), 3, num_workers=workers)
    for _ in range(3):
        assert [int(batch.images.sum()) for batch in batches] == [3 * 16 * 9, 16 * 9]
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == [
        f"cnnkit: {file}: no such file or directory; a black image takes its place" for file in files[4:]
    ]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tif"])
def test_truncated_files_are_refused_by_name(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    for size in (None, (8, 8)):
        (tmp_path / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
        with pytest.raises(UnreadableImage, match=rf"^\S*cut\.{suffix}: [^\n]+$"):
            read_image(tmp_path / f"cut.{suffix}", 3, size)


def no_image(kind: str, folder: Path) -> Path:
    path = folder / "a.png"
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("<html>404</html>")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("nowhere")
        case "pipe":
            os.mkfifo(path)
        case "postscript":  # a format of Pillow's that runs another program
            path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "an empty file"),
        ("text", "not an image"),
        ("folder", "a folder"),
        ("link", "a link to nothing"),
        ("pipe", "not a regular file"),
        ("postscript", "document or drawing"),
        ("missing", "no such file"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(kind: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=rf"a\.png: {reason}") as caught:
        read_image(no_image(kind, tmp_path), 3, (8, 8))
    assert isinstance(caught.value, UserError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as it comes from a worker


def png_of(width: int, height: int) -> bytes:
    """A file of a few bytes that says it has that many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_bombs_are_refused_by_their_header(side: int, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(side, side))
    with pytest.raises(UnreadableImage, match="pixels"):
        read_image(tmp_path / "a.png", 3, (8, 8))
