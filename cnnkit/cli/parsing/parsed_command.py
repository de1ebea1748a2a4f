"""One command's configuration, parsed by Lightning's CLI: links, defaults, and what is checked before any object."""

import sys
from copy import deepcopy
from typing import Any

import lightning as L
from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from cnnkit import dashboards
from cnnkit.cli.errors.broken_modules import refuse_broken_modules
from cnnkit.cli.fit.ranks import is_first_process
from cnnkit.cli.help import COMMANDS
from cnnkit.cli.parsing.arguments import LINKED, Request
from cnnkit.cli.parsing.configuration import DEFAULTS, Configuration
from cnnkit.cli.parsing.parser import Parser, refuse_seed, refuse_unknown_classes
from cnnkit.cli.parsing.words import read_words
from cnnkit.metric_names import MONITOR, Mode


class ParsedCommand(LightningCLI):
    """`LightningCLI` on cnnkit's classes.

    Args:
        request: what was asked for.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        super().__init__(
            L.LightningModule,
            L.LightningDataModule,
            save_config_callback=None,
            trainer_defaults={"max_epochs": 10, "num_sanity_val_steps": 0, "enable_model_summary": False},
            seed_everything_default=0,
            parser_kwargs={
                "exit_on_error": False,
                "allow_abbrev": False,
                request.command: {"exit_on_error": False, "allow_abbrev": False},
            },
            parser_class=Parser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=[request.command, *request.args],
            auto_configure_optimizers=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the one that was asked for: each costs a second to set up."""
        command = self.request.command
        return {command: LightningCLI.subcommands()[command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The links and the defaults, written once."""
        parser.add_argument("--name", type=str, default=None, help="Folder of the run below the root of runs.")
        parser.add_argument("--weights", type=str | None, default=None, help="Weights that the whole net starts with.")
        parser.add_argument("--monitor", type=str, default=MONITOR, help="What the best checkpoint is chosen by.")
        parser.add_argument("--mode", type=Mode, default="auto", help="Which is better; auto: by the metric's name.")
        parser.add_argument("--watch", type=dashboards.Watch | None, default=dashboards.Watch(), help="The dashboard.")
        for of_net, of_data in LINKED.items():
            parser.link_arguments(f"data.{of_data}", f"model.init_args.net.init_args.{of_net}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Merge what was given and check it; where help is asked for, print it and stop."""
        command, words = self.request.command, list(self.request.words)
        if "--help" in words or "-h" in words:
            print(COMMANDS[command], end="")
            raise SystemExit(0)
        if any(word.partition("=")[0].endswith(".help") for word in words):
            self._parser(command).set_defaults(DEFAULTS)
            parser.parse_args([command, *words])  # prints and stops
        printing = "--print_config" in words
        words = [word for word in words if word != "--print_config"]
        self.configuration = Configuration(self.request.files, read_words(words))
        try:
            self.config = parser.parse_object({command: deepcopy(self.configuration.tree)})
        except (Exception, SystemExit) as error:
            refuse_broken_modules(self.configuration)
            if isinstance(error, ArgumentError):
                refuse_unknown_classes(self.configuration, str(error))
            raise
        refuse_seed(self.config[command].seed_everything)
        for note in self.configuration.notes if is_first_process() else ():
            print(note, file=sys.stderr)
        if printing:
            print(self._parser(command).dump(self.config[command], skip_none=False), end="")
            raise SystemExit(0)

    def _parse_ckpt_path(self) -> None:
        """Nothing: what the user asks for is not overwritten by what a checkpoint holds."""
