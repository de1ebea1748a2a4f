"""Reads the words of a command: configuration files, a run, keys with their values; nothing is built here."""

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnkit import runs
from cnnkit.cli.parsing.hints import Origin, suggest_key
from cnnkit.config_files.cards import card_names, find_config
from cnnkit.config_files.scalars import PlainScalar
from cnnkit.config_files.yaml_files import YamlFile, read_file, read_word
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder

SHORT = {"--tta": "--model.tta", "--posthoc_tau": "--model.posthoc_tau"}
_LONGEST_NAME = 255  # characters; of a longer one, the system says an error
TEXTS = ("name",)  # keys whose word is text, whatever it looks like


@dataclass
class CommandLine:
    """A command and its words, sorted.

    Attributes:
        command: such as ``fit``.
        typed: the words after it.
        files: configuration files, that of the run first.
        run: of ``--run`` or ``--resume``.
        words: what is left without the files and the run.
    """

    command: str
    typed: list[str]
    files: list[YamlFile] = field(default_factory=list)
    run: RunFolder | None = None
    words: list[str] = field(default_factory=list)

    @property
    def flags(self) -> list[str]:
        """The keys among the words, each as it was typed, without its value; for a short one the whole key."""
        return [SHORT.get(flag, flag) for flag in self._typed_flags]

    @property
    def origin(self) -> Origin:
        """Where the values of the configuration come from."""
        short = {SHORT[flag][2:]: flag for flag in self._typed_flags if flag in SHORT}
        return Origin(self.files, [flag[2:] for flag in self.flags], short)

    @property
    def _typed_flags(self) -> list[str]:
        return [word.partition("=")[0] for word in self.words if word.startswith("--")]


def read_command_line(command: str, typed: Sequence[str]) -> CommandLine:
    """Sort the words: files first, so that the command line wins over them wherever it stands.

    Raises:
        UserError: for a missing or broken file, or a run that is not there.
    """
    line, words = CommandLine(command, list(typed)), iter(typed)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in SHORT and command == "fit":
            raise UserError(f"{flag} is for test, validate and predict; a fit keeps it for them as {SHORT[flag]}")
        if flag not in ("--config", "-c", "--run", "--resume"):
            line.words.append(word)
            continue
        names_file = flag in ("--config", "-c")
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise UserError(f"{flag}: nothing is named after it; give a {'file' if names_file else 'run folder'}")
        if names_file:
            refuse_unquoted([value, *line.typed[line.typed.index(value) + 1 :]] if value in typed else [value])
            line.files.append(read_config(find_config(value)))
        else:
            line.run = _choose_run(command, flag, value)
    if line.run is not None:
        line.files.insert(0, read_config(line.run.config))
    return line


def _choose_run(command: str, flag: str, name: str) -> RunFolder:
    right = "--resume" if command == "fit" else "--run"
    if flag != right:
        raise UserError(f"{flag} is not for {command}: use {right}")
    return runs.choose_resumable(name) if flag == "--resume" else runs.choose_finished(name)


def refuse_unquoted(words: Sequence[str]) -> None:
    """Refuse a file's name with spaces that a shell has split: the first word and some of those after it.

    Raises:
        UserError: the words together name a file.
    """
    for end in range(2, min(len(words), 8) + 1) if words and not Path(words[0]).exists() else ():
        if len(name := " ".join(words[:end])) < _LONGEST_NAME and Path(name).is_file():
            raise UserError(f"{words[0]}: no such file; a name with spaces needs quotes: --config {shlex.quote(name)}")


def derive_name(files: Sequence[YamlFile]) -> str:
    """Return a run's default name: that of the last configuration file, as far as a folder can have it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", files[-1].path.stem).lstrip(".")[:64] or "run" if files else "run"


def read_config(file: Path) -> YamlFile:
    """Read a configuration file; see `cnnkit.config_files.yaml_files.read_file`.

    Raises:
        UserError: also if it is missing, with what may have been meant.
    """
    if not file.exists():
        raise UserError(f"{file}: no such configuration file{_suggest_file(file)}")
    return read_file(file)


def _suggest_file(file: Path) -> str:
    there = {str(p): p for folder in (file.parent, Path("configs")) for p in sorted(folder.glob("*.yaml"))}
    there |= {name: Path(f"{name}.yaml") for name in card_names()}
    close = difflib.get_close_matches(str(file), there, 1, 0.5) or [
        path for path, p in there.items() if difflib.SequenceMatcher(None, p.name, file.name).ratio() > 0.6
    ]
    if close:
        return f"; did you mean {close[0]}?"
    here = [path for path in there if path.endswith(".yaml")]
    listed = f"there are {', '.join(here[:5])}{', ...' if len(here) > 5 else ''}, and " if here else ""
    return f"; {listed}`cnnkit configs` lists those that come with cnnkit"


def read_keys(words: Sequence[str], command: str) -> list[tuple[str, Any]]:
    """Read the keys and values of ``--key value``, ``--key=value`` and ``--key+=value``, in their order.

    Args:
        words: what stands after the command, without the options that name files or a run.
        command: what is suggested for a stray word follows from it.

    Raises:
        UserError: for a key without a value, or a word that belongs to no key.
    """
    found: list[tuple[str, Any]] = []
    flag, rest = "", iter(words)
    for word in rest:
        if not word.startswith("--") or word == "--":
            refuse_unquoted(words[list(words).index(word) :])
            before = found[-1][1] if found else None
            raise UserError(f"{word}: this word belongs to no --key{_suggest_form(word, flag, before, command)}")
        flag, equals, text = word.partition("=")
        if not equals:
            text = next(rest, "--")
            if text.startswith("--"):
                hint = "" if "." in flag or flag in SHORT else suggest_key(flag[2:], exact=True)
                raise UserError(f"{flag}: needs a value after it{hint}")
        if not text.strip():
            raise UserError(f"{flag}: needs a value after it, and has an empty one; leave it out for the default")
        key = SHORT.get(flag, flag)[2:]
        found.append((key, PlainScalar(text) if key in TEXTS else read_word(text, key)))
    return found


def _suggest_form(word: str, flag: str, value: Any, command: str) -> str:
    """Suggest what a stray word was meant to be; `flag` and `value` stand before it, if anything does."""
    if command != "fit" and runs.locate_runs(word).is_dir():
        return f"; did you mean --run {shlex.quote(word)}?"
    if (command == "fit" and word in card_names()) or word.endswith((".yaml", ".yml")):
        return f"; did you mean --config {shlex.quote(word)}?"
    if word.startswith("-") or not flag:
        return "; keys are given as --key value"
    listed = value if isinstance(value, list) else [value]
    many = ", ".join(map(str, [*listed, word]))
    return f"; keys are given as --key value, and a list, or a value with spaces, as one word: {flag} '[{many}]'"
