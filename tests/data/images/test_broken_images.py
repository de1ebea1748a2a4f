"""Files that break while a run goes on."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from cnnkit.data.image_files import FileBatches, ImageFiles


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
