"""An environment that contains a few packages and nothing else, to check that a pack needs no more."""

import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cnnkit.errors import UserError

SECONDS = 600  # that the check may take
_NAME = re.compile(r"[\w.-]+")  # at the start of a requirement
# It ends unless cnnkit and what cnnkit stands on cannot be imported; then it runs a script with its words.
_DRIVER = """\
import importlib.util, runpy, sys
absent, sys.argv = sys.argv[1].split(","), sys.argv[2:]
found = [name for name in absent if importlib.util.find_spec(name) is not None]
if found:
    sys.exit("the environment is not empty: " + ", ".join(found))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def make_environment(folder: Path, packages: Sequence[str]) -> Path:
    """Make a virtual environment that contains links to some installed packages and to what they require.

    Args:
        folder: to make.
        packages: names of distributions.

    Returns:
        Its Python.

    Raises:
        UserError: a package is not installed.
    """
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    (site,) = (path for path in folder.rglob("site-packages") if path.is_dir() and path.parent.is_relative_to(folder))
    for name in packages:
        for dist in _list_required(name):
            for source in _list_roots(dist):
                _link(source, site / source.name)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def run_alone(python: Path, script: Path, words: Sequence[str], absent: Iterable[str]) -> str:
    """Run a script with a Python that takes no paths or settings from outside; return what it prints.

    Args:
        python: of `make_environment`.
        script: the file.
        words: its command line.
        absent: modules that must not be importable there.

    Raises:
        UserError: one of them is, or the script fails; with its last line.
    """
    command = [str(python), "-I", "-B", "-c", _DRIVER, ",".join(absent), str(script), *words]
    try:
        ended = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{script.name} did not end within {SECONDS} s in an empty environment") from None
    if ended.returncode:
        lines = (ended.stderr + ended.stdout).strip().splitlines() or [f"exit code {ended.returncode}"]
        raise UserError(f"{script.name} fails in an empty environment: {lines[-1]}")
    return ended.stdout.strip()


def _list_required(name: str) -> Iterator[Distribution]:
    """Yield a distribution and, once each, all that it requires here; what is not installed is not needed here."""
    waiting, seen = [name], set[str]()
    while waiting:
        key = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(key)
        except PackageNotFoundError:
            if key == name:
                raise UserError(f"{name} is not installed: pip install 'cnnkit[export]'") from None
            continue
        yield found
        waiting += [
            match[0] for text in found.requires or [] if "extra ==" not in text and (match := _NAME.match(text))
        ]


def _list_roots(dist: Distribution) -> list[Path]:
    """Return the folders and files of a distribution at the top of where it is installed."""
    names = {file.parts[0] for file in dist.files or [] if file.parts[0] not in ("..", "__pycache__")}
    return [path for name in sorted(names) if (path := Path(str(dist.locate_file(name)))).exists()]


def _link(source: Path, target: Path) -> None:
    """Link a file or folder; copy it where links are not allowed. Two distributions can share a folder."""
    if target.exists():
        return
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
