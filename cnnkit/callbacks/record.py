"""The run's manifest."""

import datetime
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.callbacks.best import find_best_checkpoint
from cnnkit.callbacks.early_stop import describe_early_stop
from cnnkit.callbacks.throughput import Throughput
from cnnkit.callbacks.used_images import count_used_images
from cnnkit.files import note_not_written
from cnnkit.loggers import MetricsCSV
from cnnkit.runs import RunFolder
from cnnkit.upstream import private


class Record(Callback):
    """Writes the settings, the machine and the results of a run into manifest.json.

    Args:
        facts: entries that the caller knows: command, versions, seed, precision.
    """

    def __init__(self, run: RunFolder, facts: dict[str, Any]) -> None:
        self.run, self.facts = run, facts
        self._began = self._seconds_before = 0.0
        self._start: dict[str, Any] = {}
        self._first_epoch = 0
        self._ended_at: int | None = (
            None  # batch of the last epoch's end, whose metrics have not reached the loggers yet
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began, self._first_epoch = time.perf_counter(), trainer.current_epoch
        if not trainer.is_global_zero:
            return
        before = self.run.manifest_if_readable()
        changes = {key: list(pair) for key, pair in self.facts.get("changes", {}).items()}
        facts = {key: value for key, value in self.facts.items() if key != "changes"}
        schedule = getattr(getattr(pl_module, "schedule", None), "facts", None)
        if "started" in before and trainer.global_step > 0:
            resume = {"command": facts["command"], "from_step": trainer.global_step, "started": _now()}
            resume |= {"changes": changes} if changes else {}
            resume |= {"git": facts["git"]} if facts.get("git") != before.get("git") else {}
            self._seconds_before = before.get("times", {}).get("fit_seconds", 0.0)
            resumes = [*before.get("resumes", []), resume]
            self._write(resumes=resumes, status="running", reason=None, stopped_early=None, schedule=schedule)
            return
        facts["precision"] = {**facts.get("precision", {}), "value": str(trainer.precision)}  # what is computed in
        data = getattr(trainer, "datamodule", None)
        describe, save_split = (getattr(data, name, None) for name in ("describe", "save_split"))
        if save_split:
            try:
                save_split(self.run.split)
            except OSError as error:
                note_not_written(self.run.split, error, "; without it the run cannot be scored later")
        facts_of_data = describe() if describe else {}
        parameters = list(pl_module.parameters())
        self._start = dict(
            **facts,
            monitor={"metric": best.monitor, "mode": best.mode} if (best := find_best_checkpoint(trainer)) else None,
            status="running",
            started=_now(),
            device={"accelerator": type(trainer.accelerator).__name__, "devices": trainer.world_size},
            data={
                **facts_of_data,
                **count_used_images(trainer, data, facts_of_data),
            },
            schedule=schedule,
            loss=getattr(getattr(pl_module, "criterion", None), "facts", None),
            teacher=getattr(pl_module, "teacher_facts", None),
            net={
                "class": type(getattr(pl_module, "net", pl_module)).__name__,
                "parameters": sum(p.numel() for p in parameters),
                "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            },
        )
        self._write(**self._start)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._ended_at = trainer.fit_loop.total_batch_idx

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._ended_at = trainer.fit_loop.total_batch_idx

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the metrics before the checkpoint, so that a kill in between loses no row.

        Lightning gives an epoch's metrics to the loggers only after the checkpoints are saved, and does so again.
        """
        tables = [logger for logger in trainer.loggers if isinstance(logger, MetricsCSV)]
        ends = self._ended_at == trainer.fit_loop.total_batch_idx
        results = private("lightning.pytorch.Trainer._results").fget(trainer) if ends and tables else None
        pending = {k: float(v) for k, v in results.metrics(on_step=False)["log"].items()} if results else {}
        for table in tables:
            if pending and trainer.is_global_zero:
                table.log_metrics({**pending, "epoch": trainer.current_epoch}, max(0, trainer.global_step - 1))
            table.write()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._finish(trainer, "finished", stopped_early=describe_early_stop(trainer, self._first_epoch))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        status = "stopped" if type(exception).__name__ in ("StopRequested", "KeyboardInterrupt") else "failed"
        self._finish(trainer, status, reason=f"{type(exception).__name__}: {exception}")

    def _finish(self, trainer: L.Trainer, status: str, **more: Any) -> None:
        if not trainer.is_global_zero or not self._began:
            return
        last = {key: float(value) for key, value in trainer.callback_metrics.items()}
        seconds = self._seconds_before + time.perf_counter() - self._began
        entries: dict[str, Any] = {"last": last, "times": {"fit_seconds": round(seconds, 2)}}
        clock = next((c for c in trainer.callbacks if isinstance(c, Throughput)), None)  # type: ignore[attr-defined]
        if clock is not None and clock.train_seconds:
            entries["times"]["train_seconds"] = round(clock.train_seconds, 2)
            entries["images_per_second"] = round(clock.train_images / clock.train_seconds, 1)
        if clock is not None and (waited := clock.read_waiting()) is not None:
            entries["waited_for_cores"] = round(waited, 3)  # a share of the time, of this training's
        best = find_best_checkpoint(trainer)
        if best is not None and (found := best.describe_best()):
            entries["best"] = found
        entries |= {"ended": _now(), "epochs": trainer.current_epoch, "steps": trainer.global_step}
        before = self.run.manifest_if_readable()
        # Somebody may have removed the folder since the start.
        start = {} if "started" in before else self._start
        moved = self._move_old_scores(before, entries.get("best", {}))
        self._write(**{**start, **entries, **moved, **more, "status": status})

    def _move_old_scores(self, manifest: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
        """Move the scores of an old best checkpoint aside when a longer run has a new one."""
        step, moved = (manifest.get("best") or {}).get("step"), []
        if step is None or best.get("step") in (None, step):
            return {}
        for command in ("validate", "test"):
            if command in manifest:
                of = {"checkpoint": "best.ckpt", "step": step, **(manifest.get(f"{command}_of") or {})}
                moved.append({"command": command, **of, "scores": manifest[command]})
        if not moved:
            return {"calibration": None}
        for file in (self.run.predictions, self.run.test_classes):
            file.unlink(missing_ok=True)
        others = [*(manifest.get("other_scores") or []), *moved]
        gone = dict.fromkeys(("calibration", "validate", "validate_of", "test", "test_of"))
        return {"other_scores": others, **gone}

    def _write(self, **entries: Any) -> None:
        """Update the manifest; a full disk or a folder without permission must not end the training."""
        try:
            self.run.update_manifest(**entries)
        except OSError as error:
            note_not_written(self.run.manifest_file, error)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
