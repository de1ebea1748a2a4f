"""docs/python.md: what it says runs, in this order."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cnnkit.runs import RunFolder

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_page_runs_as_written(
    trained_once: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained_once.path, Path("runs/quickstart", trained_once.path.name))
    Path("photos").mkdir()
    for name in ("photo.jpg", "photos/a.png", "photos/b.png"):
        Image.effect_noise((40, 30), 90).save(name)
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "python.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 7
    exec(compile("\n".join(blocks), "python.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert printed.startswith("photo.jpg ")
    assert "(3, 10)" in printed
    assert "'test/acc': " in printed
    assert Path("why.png").stat().st_size > 1000
