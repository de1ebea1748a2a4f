"""Which files of a folder count as images, and what is said of the others."""

import os
from pathlib import Path

import pytest
from PIL import Image

from cnnkit.data.images.listing import HIDDEN, LINK, NO_FILE, NO_IMAGE, describe_passed_over, scan_images
from cnnkit.errors import UserError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


@pytest.mark.parametrize(
    "suffix", ["ppm", "pgm", "jp2", "tga", "ico", "pcx", "dds", "qoi", "sgi", "avif", "pfm", "bmp"]
)
def test_images_of_other_formats_are_found_and_under_any_name(suffix: str, tmp_path: Path) -> None:
    mode = {"pgm": "L", "pfm": "F"}.get(suffix, "RGB")
    Image.new(mode, (4, 4)).save(tmp_path / f"a.{suffix}")
    if suffix != "tga":  # it has no signature
        (tmp_path / "b.unheard").write_bytes((tmp_path / f"a.{suffix}").read_bytes())
        (tmp_path / "c").write_bytes((tmp_path / f"a.{suffix}").read_bytes())
    found = scan_images(tmp_path)
    assert len(found.files) == (1 if suffix == "tga" else 3)
    assert not found.passed_over


def test_what_is_passed_over_is_counted_by_reason(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")  # whoever decodes it says so
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    (tmp_path / "header.h").write_text("#define WIDTH 3\n")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "clip.MOV").write_bytes(b"\0\0\0\x14ftypqt  ")
    Image.new("L", (4, 4)).save(tmp_path / "raw.tif")
    (tmp_path / "raw.tif").rename(tmp_path / "IMG_1.NEF")  # a TIFF by content, whose first image is a thumbnail
    (tmp_path / "figure.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    os.mkfifo(tmp_path / "pipe")
    found = scan_images(tmp_path)
    assert names(found.files, tmp_path) == ["a.png", "broken.jpg"]
    kinds = {reason.partition(":")[0]: names(paths, tmp_path) for reason, paths in found.passed_over.items()}
    assert kinds == {
        NO_IMAGE: ["Thumbs.db", "header.h", "notes.txt"],
        HIDDEN: [".DS_Store", "__MACOSX"],
        "video": ["clip.MOV"],
        "camera raw": ["IMG_1.NEF"],
        "document or drawing (PDF, EPS, SVG, WMF)": ["figure.eps"],
        NO_FILE: ["pipe"],
    }
    line = describe_passed_over(found.passed_over, tmp_path)
    assert line is not None
    assert line.startswith(f"{tmp_path}: 9 passed over: 3 no image by content (Thumbs.db), 2 hidden (.DS_Store), ")
    assert "1 camera raw (IMG_1.NEF; convert it to TIFF or JPEG)" in line
    assert "\n" not in line


def test_heic_without_its_package_is_passed_over_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnkit.data.images.formats.has_heif", lambda: False)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    (tmp_path / "sent.heif").write_bytes(HEIC)
    found = scan_images(tmp_path)
    assert not found.files
    line = describe_passed_over(found.passed_over, tmp_path)
    assert line == f"{tmp_path}: 2 passed over: 2 HEIC (IMG_1.HEIC; pip install 'cnnkit[heif]' to read it)"
    monkeypatch.undo()
    pytest.importorskip("pillow_heif")
    assert len(scan_images(tmp_path).files) == 2


def test_linked_folders_are_followed_once_and_cycles_end(tmp_path: Path) -> None:
    for name in ("root/cat", "root/dog", "more/inner"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    root = tmp_path / "root"
    (root / "cat/more").symlink_to(tmp_path / "more")
    (root / "cat/again").symlink_to(tmp_path / "more/inner")
    (root / "cat/self").symlink_to(root / "cat")
    (tmp_path / "more/up").symlink_to(root)
    (root / "dog/b.png").symlink_to(root / "dog/a.png")  # a linked file is a file
    (root / "dog/c.png").symlink_to(root / "nowhere.png")  # counts as an image that cannot be read
    (root / "dog/d").symlink_to(root / "nowhere")
    found = scan_images(root)
    assert names(found.files, root) == [
        "cat/a.png", "cat/again/a.png", "dog/a.png", "dog/b.png", "dog/c.png",
    ]  # fmt: skip
    assert names(found.passed_over[LINK], root) == ["cat/more/inner", "cat/more/up", "cat/self"]
    assert names(found.passed_over[NO_FILE], root) == ["dog/d"]
    os.chdir(root)


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.tiff", "b/c/0.webp", ".hidden.png", ".thumbs/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = scan_images(tmp_path)
    assert names(found.files, tmp_path) == ["a.tiff", "b/1.png", "b/2.JPG", "b/c/0.webp"]
    assert names(found.passed_over[HIDDEN], tmp_path) == [".hidden.png", ".thumbs"]


def test_a_file_is_found_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    assert scan_images(tmp_path / "notes.txt").files == [tmp_path / "notes.txt"]
    with pytest.raises(UserError, match="no such file or folder"):
        scan_images(tmp_path / "nowhere")
