import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    if block is None:
        pytest.skip("the README has no Python in it")
    monkeypatch.chdir(tmp_path)
    original = L.Trainer.__init__

    def short(self: L.Trainer, **kwargs: Any) -> None:
        limits = {f"limit_{part}_batches": 2 for part in ("train", "val", "test")}
        original(self, **{**kwargs, **limits, "max_epochs": 1})

    monkeypatch.setattr(L.Trainer, "__init__", short)
    exec(compile(block[1], "README.md", "exec"), {"__name__": "__main__"})
