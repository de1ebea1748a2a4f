"""``check``: what in a configuration will hurt, before it costs hours."""

import argparse
import json
from typing import TYPE_CHECKING

from cnnkit.cli.parsing.options import Options, add_config, add_json, configuration_words
from cnnkit.errors import UserError

if TYPE_CHECKING:
    from cnnkit.cli.commands.check.subject import Finding

_DESCRIPTION = """\
Builds a configuration as fit would, opens the data, trains nothing, and names what will hurt, each with its reason and
a remedy: a stem for large images on small ones, a schedule that ends after the run, mirrored digits, a monitor that
nobody logs, rates that do not fit, batch norm of one image, classes with few images or none to validate on, and more
(docs/check.md). What fit refuses is an error here, too.

The exit code is 0, with warnings too; with --strict warnings make it 1."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("check", _DESCRIPTION, passes_on=True)
    add_config(options)
    options.add_argument("--strict", action="store_true", help="exit code 1 if there is a warning")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Run every check and print what was found."""
    from cnnkit.cli.commands.check.checks import CHECKS

    findings = find_all(configuration_words(args))
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"warning: {finding.key}: {finding.reason}\n         {finding.remedy}")
        warnings = f"{len(findings)} warning{'s' * (len(findings) != 1)}" if findings else "nothing found"
        print(f"{len(CHECKS)} checks, {warnings}")
    return 1 if findings and args.strict else 0


def find_all(words: list[str]) -> "list[Finding]":
    """Build a configuration and run every check on it.

    Args:
        words: as for `fit`.

    Raises:
        UserError: for what `fit` would refuse, and for data that are no `ImageDataModule`.
    """
    from cnnkit.cli.commands.check.checks import CHECKS
    from cnnkit.cli.commands.check.subject import Subject
    from cnnkit.cli.fit.trainer_values import check_device, check_length
    from cnnkit.cli.parsing.build import build_from_config
    from cnnkit.data import ImageDataModule
    from cnnkit.tasks.optimization import ModuleWithOptimizer

    built = build_from_config(words)
    if not isinstance(built.data, ImageDataModule):
        raise UserError(f"{type(built.data).__name__} is no ImageDataModule: check cannot tell where its images are")
    if not isinstance(built.task, ModuleWithOptimizer):
        raise UserError(f"{type(built.task).__name__} is no ClassificationTask: check cannot tell how it trains")
    arguments = vars(built.trainer)
    check_device(arguments)
    check_length(arguments)
    built.data.setup("test")  # no file is decoded for training
    subject = Subject(built.task, built.data, built.config, built.trainer)
    return [finding for check in CHECKS for finding in check(subject)]
