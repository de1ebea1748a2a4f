"""One command run through Lightning's CLI: links, defaults, callbacks, the run folder."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback

import cnnkit.data
import cnnkit.models
import cnnkit.optim
import cnnkit.tasks
import cnnkit.transforms  # noqa: F401  (imported so that their classes have short names)
from cnnkit import callbacks, files, runs
from cnnkit.cli.fit.ranks import is_first_process
from cnnkit.cli.fit.resume import Resume, check_start, prepare_resume
from cnnkit.cli.fit.scoring import predict, score
from cnnkit.cli.fit.settle import leave_to_fit, settle_precision
from cnnkit.cli.fit.trainer_values import check_trainer
from cnnkit.cli.fit.trainers import fit_trainer, plain_trainer, train
from cnnkit.cli.parsing.arguments import Request, config_name
from cnnkit.cli.parsing.configuration import arguments_in
from cnnkit.cli.parsing.construction import Construction, failures_as_raised
from cnnkit.cli.parsing.parsed_command import ParsedCommand
from cnnkit.cli.parsing.parser import (
    ModelInstantiator,
    refuse_contradictions,
    refuse_voids,
    wrong_values_are_user_errors,
)
from cnnkit.cli.parsing.plain_values import leave_out_objects, unmark
from cnnkit.data.folders.run_split import follow_split
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.shell import quote_command
from cnnkit.weights import skip_pretrained


class Session(ParsedCommand):
    """A command with its objects and its run folder.

    Args:
        request: what was asked for.
        began: `time.perf_counter` at the start of the process.
        watching: callbacks that no configuration names.
    """

    def __init__(self, request: Request, began: float, watching: Sequence[Callback] = ()) -> None:
        self.request, self.began, self.watching = request, began, watching
        self.run: RunFolder | None = request.run
        self.made = False  # whether this process made the folder
        self.resume: Resume | None = None
        self.held = contextlib.ExitStack()  # the run folder's lock
        self.precision_reason = "asked for"
        self.predictions = callbacks.KeepPredictions()
        with self.held, self._leave_no_empty_folder():
            super().__init__(request)

    # ---- the objects ---------------------------------------------------------------------------------------------

    def _add_instantiators(self) -> None:
        super()._add_instantiators()
        fits = self.request.command == "fit"
        self.construction = Construction(self.configuration, self._with_defaults, tries_nets=fits)
        self.parser.add_instantiator(ModelInstantiator(cli=self, key="model"), L.LightningModule, prepend=True)
        self.parser.add_instantiator(self.construction, L.LightningDataModule, prepend=True)
        self.parser.add_instantiator(self.construction, object)

    def _with_defaults(self) -> dict[str, Any]:
        self._dump_config()
        found: dict[str, Any] = self.config_dump
        return found

    def before_instantiate_classes(self) -> None:
        """Refuse what cannot be."""
        for part in ("trainer", "model", "data"):
            refuse_voids(self._get(self.config, part), part)
        leave_out_objects(self.config[self.request.command])
        check_trainer(vars(self._get(self.config, "trainer")))
        if self.request.command == "fit":
            self._prepare_fit()

    def _prepare_fit(self) -> None:
        asked = self._get(self.config, "ckpt_path")
        if self.request.run is None:
            if asked is not None:
                raise UserError(
                    f"ckpt_path is {asked!r}: a run goes on in its own folder (--resume RUN, and --ckpt_path best or "
                    "last); for a new run from the weights of a file or run: --weights FILE"
                )
            return
        if is_first_process():
            self.held.enter_context(runs.hold_writer_lock(self.request.run.path, "fit --resume"))
        resolved = {**self.resolved(), "name": self._get(self.config, "name")}  # not what the folder is called now
        self.resume = prepare_resume(self.request, resolved, asked)

    def instantiate_classes(self) -> None:
        """Data, model, trainer; a value that a constructor refuses is the user's mistake."""
        follows = follow_split(self._trained_split(), exact=self.request.command == "fit")
        with failures_as_raised(), wrong_values_are_user_errors(), skip_pretrained(self._loads_weights()), follows:
            super().instantiate_classes()

    def _trained_split(self) -> Path | None:
        """Where the run that goes on or is scored keeps which images it was trained on; a checkpoint tells its run."""
        if self.request.run is not None:
            return self.request.run.split
        asked = self._get(self.config, "ckpt_path") if self.request.command != "fit" else None
        return RunFolder(Path(asked).parent.parent).split if asked else None

    def _loads_weights(self) -> bool:
        """Whether a checkpoint, or a file for the whole net, will bring the net's weights."""
        given = self.resume is not None or self._get(self.config, "weights") is not None
        return self.request.command != "fit" or given

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The trainer with our loggers, callbacks and checkpoint files beside the user's."""
        make = partial(super().instantiate_trainer, **kwargs)
        refuse_contradictions(arguments_in(self.configuration.get("model.net")), self.datamodule)
        self._settle_precision()
        if self.request.command != "fit":
            leave_to_fit(self.request, self._get(self.config_init, "trainer"))
            return plain_trainer(self, make)
        if hasattr(self.datamodule, "describe") and is_first_process():
            self.datamodule.prepare_data()  # missing data must not leave a run folder behind
        check_start(self.resume, self._get(self.config, "weights"), self.model, self.datamodule)
        return fit_trainer(self, make)

    def _settle_precision(self) -> None:
        """Decide on the precision, so that the saved configuration says what was used."""
        trainer, fits = self._get(self.config_init, "trainer"), self.request.command == "fit"
        precision, self.precision_reason = settle_precision(trainer, self.model, not fits and is_first_process())
        trainer.precision = self._get(self.config, "trainer").precision = precision
        if self.resume is not None:
            self.precision_reason = "as the run began"

    def new_run(self) -> RunFolder:
        """Make the run folder, and hold its lock."""
        root = self._get(self.config, "trainer").default_root_dir or runs.ROOT
        if not is_first_process():  # the first one has made the folder and says where
            return RunFolder(Path(os.environ.get("CNNKIT_RUN", root)))
        run = runs.create(root, self._get(self.config, "name") or config_name(self.request.args))
        os.environ["CNNKIT_RUN"] = str(run.path)
        self.held.enter_context(runs.hold_writer_lock(run.path, "fit"))
        return run

    # ---- the commands --------------------------------------------------------------------------------------------

    def before_fit(self) -> None:
        """Write config.yaml; that of a resume only if it was changed, such as trainer.max_epochs."""
        if self.run is not None and self._config_is_new(self.run):
            self.write_config()

    def write_config(self) -> None:
        """Write config.yaml."""
        if self.run is not None and is_first_process():
            text = f"# {quote_command('fit', '--config', self.run.config)}\n{self._dump()}"
            try:
                files.write_atomically(self.run.config, text)
            except OSError as error:
                files.report_not_written(self.run.config, error)

    def _config_is_new(self, run: RunFolder) -> bool:
        return self.resume is None or bool(self.resume.changes) or not run.config.exists()

    def _dump(self) -> str:
        return unmark(str(self._parser("fit").dump(self._get_fit_config(), skip_none=False)))

    def resolved(self) -> dict[str, Any]:
        """The configuration with all defaults, as config.yaml holds it."""
        found: dict[str, Any] = yaml.safe_load(self._dump())
        return found

    def _get_fit_config(self) -> Namespace:
        config: Namespace = self.config["fit"].clone()
        config.pop("config", None)
        config.ckpt_path = None
        config.name = self.run.path.parent.name if self.run is not None else config.name
        return config

    def fit(self, model: L.LightningModule, **kwargs: Any) -> None:
        """Train; on a signal, say how to go on."""
        kwargs["ckpt_path"] = self.resume and str(self.resume.checkpoint)
        try:
            train(self, model, **kwargs)
        except callbacks.StopRequested:
            if is_first_process():
                print(f"stopped; go on with: {quote_command('fit', '--resume', self.run)}", file=sys.stderr)
            raise

    @property
    def is_first(self) -> bool:
        """Whether this process keeps the run folder."""
        return is_first_process()

    @contextlib.contextmanager
    def _leave_no_empty_folder(self) -> Iterator[None]:
        """Discard the folder of a run that came to no step, or was interrupted before its first checkpoint."""
        try:
            yield
        except BaseException as error:
            trainer = getattr(self, "trainer", None)
            trained = trainer is not None and trainer.global_step > 0
            # Lightning turns an interrupt into a SystemExit; without checkpoints the numbers are what was wanted.
            interrupted = not isinstance(error, Exception) and bool(trainer and trainer.checkpoint_callback)
            mine = self.run if self.made and is_first_process() and (interrupted or not trained) else None
            if mine is not None and not any(mine.checkpoints.glob("*.ckpt")):
                mine.discard()
            raise

    def validate(self, model: L.LightningModule, **kwargs: Any) -> None:
        """Score the validation images."""
        score(self, "validate", model, kwargs)

    def test(self, model: L.LightningModule, **kwargs: Any) -> None:
        """Score the official test set."""
        score(self, "test", model, kwargs)

    def predict(self, model: L.LightningModule, **kwargs: Any) -> None:
        """Write the class probabilities of the test images to predictions.csv."""
        predict(self, model, kwargs)
