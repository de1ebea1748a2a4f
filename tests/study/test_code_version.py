"""What a run's numbers depend on is found from what it imports."""

import ast
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import cnnkit.data
import cnnkit.models
import cnnkit.optim
import cnnkit.tasks
import cnnkit.transforms
from cnnkit.runs import identity
from cnnkit.runs.identity import FIT, ONLY_SHOWS, PACKAGE, code_version, deciding_files
from cnnkit.runs.imports import ImportedName, collect_files, locate
from cnnkit.runs.keys import covers


def config(net: str = "cnnkit.models.CNN", **more: Any) -> dict[str, Any]:
    task = {"class_path": "cnnkit.tasks.ClassificationTask", "init_args": {"net": {"class_path": net}, **more}}
    return {"model": task, "data": {"class_path": "cnnkit.data.FashionMNISTSample"}, "trainer": {"callbacks": None}}


def names(of: dict[str, Any]) -> set[str]:
    return {file.relative_to(PACKAGE).as_posix() for file in deciding_files(of) if file.is_relative_to(PACKAGE)}


def test_what_decides_counts_and_what_is_not_used_does_not() -> None:
    found = names(config())
    assert {"models/cnn.py", "layers/conv.py", "tasks/classification.py", "data/datamodules.py"} <= found
    assert {"callbacks/best.py", "callbacks/stop.py", "precision.py", "optim/length.py", "metrics.py"} <= found
    assert {"transforms/geometric.py", "cli/fit/callbacks.py", "cli/fit/trainer_values.py"} <= found
    assert not {"models/vgg.py", "layers/inception.py", "tasks/transfer.py", "data/folder.py"} & found
    assert (
        not {"cli/fit/output.py", "callbacks/progress.py", "reporting/figures.py", "loggers.py", "study/engine.py"}
        & found
    )
    assert "callbacks/ema.py" not in found
    with_ema = {**config(), "trainer": {"callbacks": [{"class_path": "cnnkit.callbacks.EMA"}]}}
    assert names(with_ema) == found | {"callbacks/ema.py"}
    assert "models/vgg.py" in names(config("cnnkit.models.VGG"))


def test_all_that_a_fit_has_imported_is_known_by_name() -> None:
    """Whatever is found, found in the text, has been imported, or can be: nothing is overlooked in silence."""
    __import__(FIT)
    loaded = {file for name in list(sys.modules) if name.split(".")[0] == "cnnkit" and (file := locate(name))}
    everything = collect_files([ImportedName(FIT)], lambda module, file: file.is_relative_to(PACKAGE))
    direct = {file for file in everything if file.relative_to(PACKAGE).parts[0] in ("precision.py", "callbacks")}
    assert direct <= loaded
    assert {PACKAGE / "precision.py", PACKAGE / "callbacks/best.py"} <= direct


def test_no_step_of_a_run_imports_what_only_shows() -> None:
    """So that the list cannot hide what a number depends on."""
    packages = (cnnkit.data, cnnkit.models, cnnkit.tasks, cnnkit.transforms, cnnkit.optim)
    classes = [ImportedName(package.__name__, name) for package in packages for name in package.__all__]
    more = [
        ImportedName(f"cnnkit.{name}")
        for name in ("precision", "metrics", "weights", "callbacks.best", "callbacks.ema")
    ]
    more += [ImportedName("cnnkit.callbacks.checkpoint"), ImportedName("cnnkit.callbacks.stop")]
    seen: list[str] = []
    collect_files([*classes, *more], lambda module, file: file.is_relative_to(PACKAGE) and not seen.append(module))  # type: ignore[func-returns-value]
    assert len(seen) > 50
    assert not [module for module in seen if covers(ONLY_SHOWS, module)]
    for name in ONLY_SHOWS:
        assert locate(name) is not None, "the list names what there is"


def test_packages_that_hand_names_on_do_nothing_else() -> None:
    """Names are followed past a package; that is sound because its modules do nothing when they are imported."""
    for file in PACKAGE.rglob("*.py"):
        calls = [
            n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)
        ]
        assert not calls or file.name == "__main__.py", file


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cnnkit in another place, to change its files; and a working folder of one's own."""
    shutil.copytree(PACKAGE, tmp_path / "lib/cnnkit", ignore=shutil.ignore_patterns("__pycache__", "*.xz"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "work")
    root = tmp_path / "lib/cnnkit"

    def moved(name: str) -> Any:
        if name != "cnnkit":
            return None
        return type("Spec", (), {"origin": str(root / "__init__.py"), "submodule_search_locations": [str(root)]})

    plain = identity.collect_files.__globals__["find_spec"]
    monkeypatch.setitem(identity.collect_files.__globals__, "find_spec", lambda name: moved(name) or plain(name))
    monkeypatch.setattr(identity, "PACKAGE", root.resolve())
    locate.cache_clear()
    yield root
    locate.cache_clear()


def change(file: Path) -> None:
    file.write_text(file.read_text() + "\nCHANGED = 1\n")


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("callbacks/stop.py", True),
        ("callbacks/best.py", True),
        ("precision.py", True),
        ("optim/length.py", True),
        ("models/cnn.py", True),
        ("layers/conv.py", True),
        ("cli/fit/session.py", True),
        ("models/vgg.py", False),
        ("models/__init__.py", False),
        ("cli/fit/output.py", False),
        ("callbacks/progress.py", False),
    ],
)
def test_a_changed_file_is_another_version_if_it_decides(copy: Path, file: str, counts: bool) -> None:
    before = code_version(config())
    if not (copy / file).exists():
        file = file.removesuffix(".py") + "/__init__.py"
    change(copy / file)
    assert (code_version(config()) != before) is counts


def test_the_users_modules_count_with_all_that_they_import(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Path.cwd()
    (work / "a_paper").mkdir()
    (work / "a_paper/__init__.py").write_text("from .nets import OwnNet\n")
    (work / "a_paper/nets.py").write_text("def OwnNet(x):\n    from a_paper import deep\n    return deep.f(x)\n")
    (work / "a_paper/deep.py").write_text("import tricks_of_paper as t\nfrom cnnkit.layers import Inception\nf = t.g\n")
    (work / "tricks_of_paper.py").write_text("g = abs\n")
    (work / "unused_here.py").write_text("x = 1\n")
    own = config("a_paper.OwnNet")
    files = {file.name for file in deciding_files(own) if not file.is_relative_to(copy.resolve())}
    assert files == {"__init__.py", "nets.py", "deep.py", "tricks_of_paper.py"}
    assert copy.resolve() / "layers/inception.py" in deciding_files(own)
    for name in ("tricks_of_paper.py", "a_paper/deep.py"):
        before = code_version(own)
        change(work / name)
        assert code_version(own) != before
    before = code_version(own)
    change(work / "unused_here.py")
    assert code_version(own) == before
    (work / "tricks_of_paper.py").write_text("def broken(:\n")
    assert code_version(own) != before


def test_circles_stars_and_what_is_not_there_end(copy: Path) -> None:
    work = Path.cwd()
    (work / "circle_a.py").write_text("from circle_b import *\nimport no_such_module_at_all\nx = 1\n")
    (work / "circle_b.py").write_text("import circle_a\nfrom os import path\n")
    found = {file.name for file in deciding_files(config("circle_a.x")) if file.parent == work.resolve()}
    assert found == {"circle_a.py", "circle_b.py"}
    assert code_version(config("nowhere.at.all.Net"))
