"""Packs as folders and zip files: equal bytes, and nothing of others is deleted."""

import errno
import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from cnnkit.errors import UserError
from cnnkit.export.pack.places import SUMS, check_place, write_folder, write_zip


def fill(folder: Path) -> Path:
    (folder / "check").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "check/c.png", SUMS):
        (folder / name).write_text("".join(f"0  {each}\n" for each in ("b.txt", "a.txt", "check/c.png")))
    return folder


def test_the_bytes_of_a_zip_depend_on_its_files_alone(tmp_path: Path) -> None:
    made = []
    for number in range(2):
        folder, file = fill(tmp_path / str(number)), io.BytesIO()
        os.utime(folder / "a.txt", (10**9 * number, 10**9 * number))
        (folder / "a.txt").chmod(0o600 if number else 0o755)
        write_zip(folder, file, "name")
        made.append(file.getvalue())
    assert made[0] == made[1]
    names = zipfile.ZipFile(io.BytesIO(made[0])).namelist()
    assert names == [f"name/{each}" for each in (SUMS, "a.txt", "b.txt", "check/c.png")]


def test_an_earlier_pack_is_replaced(tmp_path: Path) -> None:
    old, new = fill(tmp_path / "old"), fill(tmp_path / "new")
    (new / "b.txt").unlink()
    check_place(old)
    write_folder(new, old)
    assert not (old / "b.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_a_full_disk_is_one_short_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: str, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", source, None, target)

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(UserError) as raised:
        write_folder(fill(tmp_path / "made"), tmp_path / "pack")
    assert str(raised.value).startswith(f"{tmp_path / 'pack'}: cannot be written (")
    assert str(raised.value).endswith("No space left on device); name another folder")
    assert str(raised.value).count("No space") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("name", ["mine.txt", "check/mine.png", "deep/er/mine.txt"])
def test_a_folder_with_a_file_of_somebody_else_is_refused(tmp_path: Path, name: str) -> None:
    folder = fill(tmp_path / "pack")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    with pytest.raises(UserError, match=rf"holds {name}"):
        check_place(folder)


def test_other_kinds_of_outputs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.zip").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for output in ("file", "folder.zip", "pipe", "a.tar.gz", "model.onnx", ".."):
        with pytest.raises(UserError, match="output is"):
            check_place(tmp_path / output)
    for output in ("new", "new.zip", "new-v1.0"):
        check_place(tmp_path / output)
