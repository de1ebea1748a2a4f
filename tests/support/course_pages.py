"""The pages of docs/course as programs: their code blocks run from top to bottom in one session."""

import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.cli import main

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "course"
FEW = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--watch=null"]


class Block(NamedTuple):
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*block) for block in found]


def said_by(block: Block) -> str:
    """What the page says that the block prints."""
    if block.language == "console":
        return block.text.split("\n", 1)[1].strip()
    return "\n".join(line.strip()[2:] for line in block.text.splitlines() if line.strip().startswith("# "))


def run_block(block: Block, names: dict[str, Any]) -> str:
    """Run it in the current folder and return what it prints."""
    if named := re.match(r"# (my_\w+\.\w+)\n", block.text):
        Path(named[1]).write_text(block.text, encoding="utf-8")
        return said_by(block)
    if block.language == "python":
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(block.text, "docs/course", "exec"), names)
        return printed.getvalue().strip()
    if block.language == "console":
        return run_command(block.text.splitlines()[0].removeprefix("$ "))[1]
    for line in block.text.replace("\\\n", " ").splitlines():
        code, printed = run_command(line)
        assert code == 0, f"{line}\n{printed}"
    return said_by(block)


def run_command(line: str) -> tuple[int, str]:
    """Exit code and output of ``cnnkit ...``; ``fit`` takes two batches."""
    words = shlex.split(line, comments=True)
    assert words[0] == "cnnkit", line
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*words[1:], *(FEW if words[1] == "fit" else [])])
    text = out.getvalue() if code == 0 else err.getvalue()
    return code, "\n".join(text_line.rstrip() for text_line in text.strip("\n").splitlines())
