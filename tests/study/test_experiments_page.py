"""docs/experiments.md, word for word."""

import re
import shlex
from pathlib import Path

import pytest
from small_runs import Cli

from cnnkit.study.results import read_rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_does_what_it_says(cli: Cli) -> None:
    pytest.importorskip("optuna", reason="needs the extra: pip install 'cnnkit[search]'")
    Path("configs").symlink_to(ROOT / "configs")
    for name, text in re.findall(r"^```yaml\n# (my_\w+/study\.yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        Path(name).parent.mkdir()
        Path(name).write_text(text)
    markers = re.search(r"^```\n(<!-- results -->\n<!-- /results -->\n)```", PAGE, re.MULTILINE)
    assert markers is not None
    Path("my_dropout/README.md").write_text(markers[1])
    commands = re.findall(r"^cnnkit (study my_\w+.*)", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        ended = cli(*shlex.split(command, comments=True))
        assert ended.code == 0, ended.err
    assert [row["status"] for row in read_rows(Path("my_dropout/results.csv"))] == ["done"] * 6
    assert "| minutes |" in Path("my_dropout/README.md").read_text()
    assert {path.name for path in Path("my_dropout").iterdir()} >= {"results.csv", "table.md", "plot.png"}
    assert Path("runs/my_rate/search.db").exists()
