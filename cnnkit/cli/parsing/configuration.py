"""Holds the configuration of a command: its values with all defaults, checked, and where each was written."""

import argparse
import enum
import inspect
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from jsonargparse import ArgumentError, Namespace

import cnnkit.data
import cnnkit.models
import cnnkit.optim
import cnnkit.tasks
import cnnkit.transforms  # noqa: F401  (imported so that their classes have short names)
from cnnkit.cli.errors.diagnosis import refuse
from cnnkit.cli.fit.trainer_values import check_trainer
from cnnkit.cli.help import COMMANDS
from cnnkit.cli.parsing.classes import find_import_path, list_parameters, resolve_class, shorten_path
from cnnkit.cli.parsing.command_line import CommandLine, read_keys
from cnnkit.cli.parsing.hints import list_class_names
from cnnkit.cli.parsing.parser import GROUPS, LINKED, TRAINER_DEFAULTS, Parser, build_parser, list_command_arguments
from cnnkit.cli.parsing.presets import spell_out_presets
from cnnkit.cli.parsing.typed import Text, strip_marks, type_arguments
from cnnkit.cli.parsing.written import DEFAULTS, WrittenValues, find_classes, read_arguments
from cnnkit.config_files.scalars import as_word, plain
from cnnkit.config_files.yaml_files import dump_yaml
from cnnkit.errors import UserError
from cnnkit.notices import is_first_process
from cnnkit.shell import quote_command
from cnnkit.suggest import suggest

_WRITABLE = (bool, int, float, str, list, tuple, Mapping, Namespace)


@dataclass
class Configuration:
    """The values of a command.

    Attributes:
        command: such as ``fit``.
        written: the values of files and command line.
        parser: what checked it, and builds from it.
        values: all values, with the defaults.
    """

    command: str
    written: WrittenValues
    parser: Parser
    values: Namespace

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as config.yaml holds them: without objects, and without what the data will set."""
        found: dict[str, Any] = _as_plain(self.values)
        net = found["model"].get("init_args", {}).get("net")
        arguments = net.get("init_args", {}) if isinstance(net, dict) else {}
        for name in [name for name in LINKED if name in arguments and _is_seen(net["class_path"], name)]:
            arguments.pop(name)
        return found

    def as_yaml(self, **changes: Any) -> str:
        """Return the text of config.yaml, with some values changed."""
        return f"# lightning.pytorch=={L.__version__}\n{dump_yaml({**self.as_dict(), **changes})}"


def load_configuration(line: CommandLine) -> Configuration:
    """Merge and check what a command line and its files say; ``--help`` prints the help and stops.

    Raises:
        UserError: for any mistake.
        SystemExit: after ``--help`` and ``--print_config``.
    """
    words = list(line.words)
    if "--help" in words or "-h" in words:
        print(COMMANDS[line.command], end="")
        raise SystemExit(0)
    parser = build_parser(line.command)
    if any(word.partition("=")[0].endswith(".help") for word in words):
        parser.set_defaults(DEFAULTS)
        _print_class_help(parser, words)
    arguments = list_command_arguments(line.command)
    written = WrittenValues(line.origin, read_keys([word for word in words if word != "--print_config"], line.command))
    spell_out_presets(written)
    try:
        values = parser.parse_object(type_arguments(written.tree, arguments, ""))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        refuse(written, arguments, error)
    _drop_default_objects(values)
    configuration = Configuration(line.command, written, parser, strip_marks(values, (Text,)))
    _check_values(values, configuration.as_dict())
    for note in written.notes if is_first_process() else ():
        print(note, file=sys.stderr)
    if "--print_config" in words:
        print(configuration.as_yaml(), end="")
        raise SystemExit(0)
    return configuration


def _print_class_help(parser: Parser, words: list[str]) -> None:
    """Print the help that ``--key.help CLASS`` or ``--trainer.help`` asks for and stop; else name the classes."""
    place, flag = next((i, word) for i, word in enumerate(words) if word.partition("=")[0].endswith(".help"))
    flag, _, name = flag.partition("=")
    if (group := flag[2:].removesuffix(".help")) in GROUPS:
        parser = Parser(quote_command("fit", flag), usage=argparse.SUPPRESS, add_help=False)
        parser.add_class_arguments(GROUPS[group], group, fail_untyped=False, sub_configs=True)
        parser.set_defaults(TRAINER_DEFAULTS if group == "trainer" else {})
        parser.print_help()
        raise SystemExit(0)
    name = name or next((word for word in words[place + 1 : place + 2] if not word.startswith("--")), "")
    known = list_class_names(shorten_path(group))
    example = f", such as {known[0]}" if len(known) > 12 else ""  # a short list is given in full
    fault = f"there is no class {name!r} for it" if name else f"needs a class after it{example}"
    try:
        if name:
            parser.parse_args(_with_whole_names(words))  # prints and stops
    except ArgumentError:
        if name in known:
            raise UserError(f"{flag}: another key on the command line is wrong; give this one alone") from None
        if resolve_class(name) is not None:
            fault = f"{name} is a class of another kind"
    raise UserError(f"{flag}: {fault}{suggest(name, known)}")


def _with_whole_names(words: list[str]) -> list[str]:
    """Give classes after ``--key.help`` their dotted names: torchvision, too, has a ResNet."""
    for place, word in enumerate(words):
        key, equals, name = word.partition("=")
        if key.endswith(".help"):
            name, after = (name, place + 1) if equals else (next(iter(words[place + 1 :]), ""), place + 2)
            if name and (found := resolve_class(name)) is not None:
                return [*words[:place], f"{key}={find_import_path(found)}", *words[after:]]
    return words


def _is_seen(class_path: str, name: str) -> bool:
    """Whether the data can set an argument of a net: a function may take more than jsonargparse sees of it."""
    target = resolve_class(class_path)
    if target is None or isinstance(target, type):
        return True
    parser = Parser(exit_on_error=False)
    parser.add_function_arguments(target, fail_untyped=False)
    return name in parser.get_defaults()


def _as_plain(value: Any) -> Any:
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {key: _as_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_plain(part) for part in value]
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value, str) else value.name
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(plain(value))
    return find_import_path(value) if callable(value) and hasattr(value, "__qualname__") else str(value)


def _drop_default_objects(value: Any) -> None:
    """Remove, in place, objects that a class has as defaults: the class knows them, and no file can hold them."""
    for part in value if isinstance(value, list) else vars(value).values() if isinstance(value, Namespace) else ():
        _drop_default_objects(part)
    arguments = value.get("init_args") if isinstance(value, Namespace) else None
    if isinstance(arguments, Namespace):
        for name, parameter in list_parameters(str(value["class_path"])).items():
            default = parameter.default
            can_be_written = default is None or callable(default) or isinstance(default, _WRITABLE)
            if not can_be_written and name in arguments and arguments[name] is default:
                arguments.pop(name)


def _check_values(values: Namespace, config: dict[str, Any]) -> None:
    """Refuse values of a configuration that no object can be built from; `config` holds them as plain values.

    Raises:
        UserError: naming the key and its value.
    """
    seed = values.seed_everything
    if type(seed) is not int or not 0 <= seed < 2**32:  # NumPy takes no other
        raise UserError(f"seed_everything is {as_word(seed)}: give a whole number from 0 to {2**32 - 1}")
    _refuse_empty_values({part: config[part] for part in ("trainer", "model", "data")})
    check_trainer(vars(values.trainer))


def _refuse_empty_values(config: dict[str, Any]) -> None:
    """Refuse null and infinity where they mean nothing; jsonargparse lets them pass, to fail far away.

    Raises:
        UserError: for a null of an argument that has another default and whose type does not allow None; for an
            infinite argument of a class of cnnkit or torch whose own default is finite.
    """
    for key, node in find_classes(config):
        known = list_parameters(node["class_path"])
        ours = node["class_path"].partition(".")[0] in ("cnnkit", "torch")
        for name, value in read_arguments(node).items():
            default: Any = known[name].default if name in known else None
            optional = default is None or re.search("None|Optional", str(known[name].annotation))
            if value is None and not optional and default is not inspect.Parameter.empty:
                default = getattr(default, "__name__", repr(default))
                raise UserError(f"{key}.{name} is null; leave it out for {default}, or give another value")
            finite = type(default) in (int, float) and math.isfinite(float(default))
            if isinstance(value, float) and not math.isfinite(value) and finite and ours:
                raise UserError(f"{key}.{name} is {value}: give a finite number")


def refuse_contradictions(arguments: dict[str, Any], data: Any) -> None:
    """Refuse written arguments of the net that differ from the data's shape, which would override them.

    Raises:
        UserError: if an argument contradicts the data.
    """
    for name, value in plain({name: value for name, value in arguments.items() if name in LINKED}).items():
        present = getattr(data, LINKED[name], value)
        present = list(present) if isinstance(present, tuple) else present
        if value not in (present, [present, present]):
            raise UserError(
                f"model.net.{name} is {value}, but the images of {type(data).__name__} have {present}; "
                "leave it out: the data says it"
            )
