"""The environment of a pack's check has the named packages, what they require, and nothing else."""

from pathlib import Path

import pytest

from cnnkit.errors import UserError
from cnnkit.export.pack.emptiness import make_environment, run_alone


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("empty") / "environment", ["pillow"])


def write(folder: Path, text: str) -> Path:
    script = folder / "predict.py"
    script.write_text(text)
    return script


def test_only_the_package_can_be_imported(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # cnnkit's own
    names = ["PIL", "cnnkit", "numpy", "torch", "pytest", "pip", "beside"]
    text = f"import importlib.util as u, sys; print(sys.argv[1], [n for n in {names} if u.find_spec(n)])"
    assert run_alone(python, write(tmp_path, text), ["word"], ["cnnkit"]) == "word ['PIL']"


def test_a_script_that_needs_cnnkit_fails(python: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No module named 'cnnkit'"):
        run_alone(python, write(tmp_path, "import cnnkit"), [], ["cnnkit"])


def test_an_environment_that_has_what_must_be_absent_is_refused(python: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not empty: PIL"):
        run_alone(python, write(tmp_path, "print('never')"), [], ["cnnkit", "PIL"])


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no-such-package is not installed"):
        make_environment(tmp_path / "environment", ["no-such-package"])
