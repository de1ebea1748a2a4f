"""The command line: ``cnnkit``, and ``python -m cnnkit``, which is the same.

This module imports no torch; what needs it is imported when a command runs.
"""

import os
import sys
import time
from pathlib import Path

from cnnkit import __version__
from cnnkit.allocator import import_quickly, keep_freed_memory
from cnnkit.cli import help as texts
from cnnkit.cli.cores import watch_cores
from cnnkit.cli.dispatch import CLASSROOM, VIEW_COMMANDS, run_view_command
from cnnkit.cli.errors.exit_codes import keep_streams_open, run_to_exit_code
from cnnkit.export import SUFFIXES
from cnnkit.files import not_written
from cnnkit.notices import one_command
from cnnkit.suggest import suggest
from cnnkit.threads import read_usage

NOT_WRITTEN = 4
_COMMAND = "CNNKIT_COMMAND"  # the number of the command that a process runs, for those that it starts
_LAUNCHED_BY = os.environ.get(_COMMAND) if "LOCAL_RANK" in os.environ else None
_commands = 0


def main(args: list[str] | None = None) -> int:
    """Run one command.

    Args:
        args: the words after the program's name; those of ``sys.argv`` by default.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 a mistake of the user, 3 some images could not
        be read, 4 done, but something could not be written, 128 + n stopped by signal n.
    """
    began = time.perf_counter()
    if _belongs_to_other_command():
        return 0
    not_written().clear()
    with keep_streams_open() as failed:
        code = _run(list(sys.argv[1:] if args is None else args), began)
    return NOT_WRITTEN if code == 0 and (failed or not_written()) else code


def _belongs_to_other_command() -> bool:
    """Whether a script that runs several commands was started again as a process of another command.

    Lightning starts the same script once more for each further device. Such a process runs only the command that
    started it.
    """
    global _commands
    _commands += 1
    if _LAUNCHED_BY is not None:
        return str(_commands) != _LAUNCHED_BY
    os.environ[_COMMAND] = str(_commands)
    return False


def _run(args: list[str], began: float) -> int:
    debug = "--debug" in args
    args = [a for a in args if a != "--debug"]
    if args[:1] == ["help"] and len(args) > 1:
        args = [*args[1:], "--help"]
    command = args[0] if args else "--help"
    if command in ("--help", "-h", "help"):
        print(texts.MAIN, end="")
        return 0
    if command == "--version":
        print(f"cnnkit {__version__}")
        return 0
    if command in CLASSROOM:  # a name of 0.1, for one version
        print(f"note: `cnnkit {command}` is now `cnnkit classroom {command}`", file=sys.stderr)
        command, args = "classroom", ["classroom", *args]
    commands = [*texts.COMMANDS, *VIEW_COMMANDS]
    if command not in commands:
        hint = suggest(command, [*commands, *CLASSROOM]) or f"; the commands are {', '.join(commands)}"
        print(f"error: unknown command {command!r}{hint}", file=sys.stderr)
        return 2
    if command in texts.COMMANDS and len(args) > 1 and args[1] in ("--help", "-h"):
        print(texts.COMMANDS[command], end="")
        return 0
    # A researcher's own module in the current folder is found by the console script as by `python -m`.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    keep_freed_memory()
    # In a program that has torch already, its threads are that program's choice.
    cores_before = None if "torch" in sys.modules else read_usage()
    with one_command(), watch_cores(cores_before):
        if command in VIEW_COMMANDS:
            return run_view_command(command, args[1:], debug=debug)

        if command == "predict" and _names_files(args):
            return _predict_images(args[1:], debug=debug)

        with import_quickly():
            from cnnkit.cli.fit.command import run_command  # imports torch

        return run_command(command, args[1:], began=began, debug=debug, cores_before=cores_before)


def _names_files(words: list[str]) -> bool:
    """Whether ``predict`` is about image files: by --images, or by an exported file as --model, which needs them."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        exported = (value if equals else following).lower().endswith(tuple(SUFFIXES.values()))
        if name == "--images" or (name == "--model" and exported):
            return True
    return False


def _predict_images(words: list[str], *, debug: bool) -> int:
    """Predict image files, which needs no trainer: that of Lightning takes longer to import than all else here."""
    with import_quickly():
        from cnnkit.cli.commands import predict  # imports torch

    stopped = "stopped; there is nothing to resume"
    return run_to_exit_code(lambda: predict.predict_images(words), predict.describe_error, debug=debug, stopped=stopped)
