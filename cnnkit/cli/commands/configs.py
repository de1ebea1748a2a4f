"""``configs``: the run cards that come with cnnkit."""

import argparse
import json
import re
from dataclasses import asdict

from cnnkit.cli.parsing.options import Options, add_json
from cnnkit.config_files.cards import card_names, read_card
from cnnkit.errors import UserError
from cnnkit.reporting.terminal import print_table
from cnnkit.suggest import suggest

DESCRIPTION = """\
List the configurations that come with cnnkit, each with its net and data and with the accuracy that it reached here.
With a name, print the file. `cnnkit fit --config NAME` trains it, in any folder."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("configs", DESCRIPTION)
    options.add_argument("name", nargs="?", metavar="NAME", help="print this configuration")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Print the table, or one file."""
    names = card_names()
    if args.name is not None and args.name not in names:
        raise UserError(f"no configuration {args.name!r} comes with cnnkit{suggest(args.name, names)}")
    cards = [read_card(name) for name in ([args.name] if args.name else names)]
    if args.json:
        print(json.dumps([{**asdict(card), "file": str(card.file)} for card in cards], indent=2))
    elif args.name:
        print(cards[0].file.read_text(encoding="utf-8"), end="")
    else:
        print_table(["name", "net and data", "test accuracy"], [[c.name, c.about, _short(c.result)] for c in cards])
    return 0


def _short(result: str) -> str:
    """The accuracy and the number of runs, without the interval, which is in the card."""
    return re.sub(r", 95 % interval[^)]*", "", result.replace(" test accuracy", ""))
