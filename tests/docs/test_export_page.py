"""docs/export.md: what it says runs, and predicts the same with and without cnnkit."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from small_runs import Cli

from cnnkit.runs import RunFolder

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.slow
def test_the_page_runs_as_written(cli: Cli, trained_once: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shutil.copytree(trained_once.path, Path("runs/quickstart", trained_once.path.name))
    Image.effect_noise((40, 30), 90).save("photo.jpg")
    ended = cli("export", "--run", "quickstart", "--format", "onnx", "--check_images", "20")
    assert ended.code == 0, ended.err
    shown = re.search(r"^```\nfile .*?\n```", text, re.M | re.S)
    assert shown is not None
    first = [line.partition("  ")[0] for line in shown[0].splitlines()[1:-1]]
    assert [line.partition("  ")[0] for line in ended.out.splitlines()] == first
    [file] = Path("runs").glob("*/*/export/quickstart.onnx")
    shutil.copy(file, "quickstart.onnx")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "export.md", "exec"), {"__name__": "page"})
    with_cnnkit, without = capfd.readouterr().out.splitlines()
    name, probability = without.rsplit(" ", 1)
    _, found, share, *_ = re.split(r"\s{2,}", with_cnnkit)
    assert found == name
    assert float(share.rstrip("%")) == pytest.approx(100 * float(probability), abs=0.1)
