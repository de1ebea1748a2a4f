"""A file of the user's own that fails when it is imported: key, file and line, and what Python says of it."""

from pathlib import Path

import pytest
from small_runs import Cli

FILES = {
    "syntax": "import torch\nclass X(torch.nn.Module:\n    pass\n",
    "name": "import torch\n\nX = undefined\n",
    "zero": "def f():\n    return 1 / 0\nf()\n",
    "ends": "import sys\nsys.exit(3)\n",
    "needs": "import not_there_at_all\n",
    "above": "import broken_syntax\nX = 1\n",
    "training": "from pathlib import Path\nPath('ran').touch()\n",
}
FAULTS = {
    "broken_syntax.X": "broken_syntax.py, line 2: SyntaxError: invalid syntax",
    "broken_name.X": "broken_name.py, line 3: NameError: name 'undefined' is not defined",
    "broken_zero.X": "broken_zero.py, line 2: ZeroDivisionError: division by zero",
    "broken_ends.X": "broken_ends.py, line 2: it ends the program while it is imported",
    "broken_needs.X": "broken_needs.py, line 1: ModuleNotFoundError: needs not_there_at_all, which is not installed",
    "broken_above.X": "broken_syntax.py, line 2: SyntaxError: invalid syntax",
}
KEYS = ("model", "data", "model.net", "model.optimizer", "model.scheduler", "trainer.callbacks", "trainer.logger")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / f"broken_{name}.py").write_text(text)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_that_takes_a_class(cli: Cli, key: str) -> None:
    ended = cli("fit", f"--{key}=broken_syntax.X")
    assert ended.err == f"error: {key}: broken_syntax.X cannot be imported: {FAULTS['broken_syntax.X']}\n"
    assert ended.code == 2


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault(cli: Cli, name: str) -> None:
    ended = cli("fit", f"--model.net={name}")
    assert ended.err.startswith(f"error: model.net: {name} cannot be imported: {FAULTS[name]}")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model:\n  init_args:\n    net:\n      class_path: broken_name.X\n", "line 3: model.net"),
        ("data:\n  class_path: broken_name.X\n", "line 1: data"),
        ("trainer:\n  callbacks:\n  - broken_name.X\n", "line 2: trainer.callbacks"),
        ("data:\n  init_args:\n    augment:\n    - class_path: broken_name.X\n", "line 3: data.augment"),
    ],
)
def test_a_file_names_its_line(cli: Cli, text: str, place: str) -> None:
    Path("c.yaml").write_text(text)
    ended = cli("fit", "--config", "c.yaml")
    assert ended.err.startswith(f"error: c.yaml, {place}: broken_name.X cannot be imported: broken_name.py, line 3: ")
    assert ended.code == 2


def test_a_name_of_a_run_is_not_imported_for_looking_like_a_module(cli: Cli) -> None:
    ended = cli("fit", "--name=broken_training.v2", "--trainer.default_root_dir=broken_training.v2", "--model.lr=1")
    assert ended.code == 2
    assert not Path("ran").exists()
