"""Runs fit, validate, test or predict: builds from the configuration, keeps the run folder, calls the trainer."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit import callbacks, files, runs
from cnnkit.cli.fit.resume import Resume, check_start, prepare_resume
from cnnkit.cli.fit.scoring import predict, score
from cnnkit.cli.fit.thread_gain import say_if_threads_bring_little
from cnnkit.cli.fit.threads import leaves_threads_to_fit, settle_threads
from cnnkit.cli.fit.trainer_values import check_device, choose_precision, refuse_fit_options
from cnnkit.cli.fit.trainers import fit_trainer, plain_trainer, train
from cnnkit.cli.objects.given import Given
from cnnkit.cli.parsing.command_line import CommandLine, derive_name
from cnnkit.cli.parsing.configuration import load_configuration, refuse_contradictions
from cnnkit.cli.parsing.construction import build_objects
from cnnkit.cli.parsing.written import read_arguments
from cnnkit.data.folders.run_split import follow_split
from cnnkit.errors import UserError
from cnnkit.notices import is_first_process, share_with_ranks
from cnnkit.runs import RunFolder
from cnnkit.shell import quote_command
from cnnkit.tasks import ClassificationTask
from cnnkit.tasks.shapes import refuse_other_labels
from cnnkit.threads import Usage
from cnnkit.weights import skip_pretrained


class Session:
    """A command with its objects and its run folder.

    Args:
        line: the command.
        began: `time.perf_counter` at the start of the process.
        watching: callbacks that no configuration names.
        cores_before: what the cores had done at the start; with them a command may choose its number of threads.
        given: objects that stand for keys of the configuration.
    """

    trainer: L.Trainer

    def __init__(
        self,
        line: CommandLine,
        began: float,
        watching: Sequence[Callback] = (),
        cores_before: Usage | None = None,
        given: Given | None = None,
    ) -> None:
        self.line, self.command, self.began, self.watching = line, line.command, began, watching
        self.cores_before, self.given = cores_before, given
        self.configuration = load_configuration(line)
        self.config = self.configuration.values
        self.run: RunFolder | None = line.run
        self.made = False  # whether this process made the folder
        self.resume: Resume | None = None
        self.held = contextlib.ExitStack()  # the run folder's lock
        self.precision_reason = "asked for"
        self.cores_facts: dict[str, Any] = {}  # for the manifest
        self.predictions = callbacks.KeepPredictions()

    def execute(self) -> None:
        """Build everything and run the command."""
        with self.held, self._leave_no_empty_folder():
            check_device(vars(self.config.trainer))
            L.seed_everything(self.config.seed_everything, workers=True)
            if self.command == "fit":
                self._prepare_fit()
            resumed = self.resume.run if self.resume is not None else None
            settled = settle_threads(self.cores_before, self.config.trainer, resumed)
            self.cores_facts = self.held.enter_context(settled)
            follows = follow_split(self._trained_split(), exact=self.command == "fit")
            starts = self.config.weights is not None or (self.given is not None and self.given.has_weights)
            loads_weights = self.command != "fit" or self.resume is not None or starts
            with skip_pretrained(loads_weights), follows:
                self.objects = build_objects(self.configuration)
                self.model, self.datamodule = self.objects.model, self.objects.data
                refuse_contradictions(read_arguments(self.configuration.written.get("model.net")), self.datamodule)
                if self.given is not None:
                    self.given.adopt(self.objects)
                self.trainer = self._build_trainer()
            new = self.command == "fit" and self.resume is None
            if new and leaves_threads_to_fit(self.cores_before, self.config.trainer):
                say_if_threads_bring_little(
                    getattr(self.model, "net", None), self.datamodule, self.config.trainer.precision
                )
            if self.trainer.world_size > 1:
                self.held.enter_context(share_with_ranks())
            elif "CNNKIT_RUN" in os.environ and not is_first_process():
                raise UserError("a fit on several devices starts the script again for each of them: make it the first")
            commands: dict[str, Callable[[], None]] = {"fit": self._fit, "predict": lambda: predict(self)}
            commands.get(self.command, lambda: score(self))()

    def _prepare_fit(self) -> None:
        wanted, run = self.config.ckpt_path, self.line.run
        if run is None:
            if wanted is not None:
                raise UserError(
                    f"ckpt_path is {wanted!r}: a run goes on in its own folder (--resume RUN, and --ckpt_path best or "
                    "last); for a new run from the weights of a file or run: --weights FILE"
                )
            return
        if is_first_process():
            self.held.enter_context(runs.hold_writer_lock(run.path, "fit --resume"))
        resolved = {**self.resolved(), "name": self.config.name}  # not what the folder is called now
        self.resume = prepare_resume(self.line, run, resolved, wanted)

    def _trained_split(self) -> Path | None:
        """The split file of the run that is resumed or scored, which may be named by a checkpoint of it."""
        if self.line.run is not None:
            return self.line.run.split
        checkpoint = self.config.ckpt_path if self.command != "fit" else None
        return RunFolder(Path(checkpoint).parent.parent).split if checkpoint else None

    def _build_trainer(self) -> L.Trainer:
        if isinstance(self.model, ClassificationTask):
            refuse_other_labels(self.model, self.datamodule)
        self._settle_precision()
        if self.command != "fit":
            refuse_fit_options(self.line, self.objects.trainer)
            return plain_trainer(self)
        if hasattr(self.datamodule, "describe") and is_first_process():
            self.datamodule.prepare_data()  # missing data must not leave a run folder behind
        check_start(self.resume, self.config.weights, self.model, self.datamodule)
        return fit_trainer(self)

    def _settle_precision(self) -> None:
        """Decide on the precision, so that the saved configuration says what was used."""
        trainer, announce = self.objects.trainer, self.command != "fit" and is_first_process()
        precision, self.precision_reason = choose_precision(trainer, self.model, announce)
        trainer.precision = self.config.trainer.precision = precision
        if self.resume is not None:
            self.precision_reason = "as the run began"

    def new_run(self) -> RunFolder:
        """Make the run folder, and hold its lock."""
        root = self.config.trainer.default_root_dir or runs.ROOT
        if not is_first_process():  # the first one has made the folder and says where
            return RunFolder(Path(os.environ.get("CNNKIT_RUN", root)))
        run = runs.create(root, self.config.name or derive_name(self.line.files))
        os.environ["CNNKIT_RUN"] = str(run.path)  # Lightning starts the other ranks with this environment
        self.held.enter_context(runs.hold_writer_lock(run.path, "fit"))
        return run

    def resolved(self) -> dict[str, Any]:
        """Return the configuration with all defaults, as config.yaml holds it."""
        return {**self.configuration.as_dict(), **self._folder_values()}

    def _folder_values(self) -> dict[str, Any]:
        name = self.run.path.parent.name if self.run is not None else self.config.name
        return {"name": name, "ckpt_path": None}

    def write_config(self) -> None:
        """Write config.yaml."""
        if self.run is None or not is_first_process():
            return
        command = quote_command("fit", "--config", self.run.config)
        text = f"# {command}\n{self.configuration.as_yaml(**self._folder_values())}"
        try:
            files.write_atomically(self.run.config, text)
        except OSError as error:
            files.note_not_written(self.run.config, error)

    @contextlib.contextmanager
    def _leave_no_empty_folder(self) -> Iterator[None]:
        """Discard the folder of a run that did no step, or was interrupted before its first checkpoint."""
        try:
            yield
        except BaseException as error:
            trainer = getattr(self, "trainer", None)
            trained = trainer is not None and trainer.global_step > 0
            # Lightning turns an interrupt into a SystemExit; without checkpoints the numbers are what was wanted.
            interrupted = not isinstance(error, Exception) and bool(trainer and trainer.checkpoint_callback)
            discards = self.made and is_first_process() and (interrupted or not trained)
            if discards and self.run is not None and not any(self.run.checkpoints.glob("*.ckpt")):
                self.run.discard()
            raise

    def _fit(self) -> None:
        """Write config.yaml, that of a resume only if it was changed, and train; on a signal, say how to go on."""
        if self.run is not None and (self.resume is None or self.resume.changes or not self.run.config.exists()):
            self.write_config()
        try:
            train(self)
        except callbacks.StopRequested:
            if is_first_process():
                print(f"stopped; go on with: {quote_command('fit', '--resume', self.run)}", file=sys.stderr)
            raise
        finally:
            if self.given is not None and self.trainer.global_step > 0:
                self.given.hand_back()
