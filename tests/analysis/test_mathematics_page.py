"""docs/mathematics.md: its code prints what the comments below each line say."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")


def test_the_page_prints_what_it_says() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    for block in blocks:  # one session from top to bottom
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(block, "docs/mathematics.md", "exec"), names)
        said = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
        assert printed.getvalue().splitlines() == said


def test_the_kernel_of_the_page_is_that_of_the_experiment() -> None:
    table = (ROOT / "experiments" / "learn_edge_kernel" / "README.md").read_text(encoding="utf-8")
    last = re.search(r"^\| 10 \| .* \| (\[.*\]) \|$", table, re.MULTILINE)
    assert last is not None
    assert last[1] in PAGE
