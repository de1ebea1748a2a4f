"""Keeps the run's manifest."""

import contextlib
import datetime
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from cnnkit.callbacks.throughput import Throughput
from cnnkit.run_folder import RunFolder


class Record(Callback):
    """Writes into manifest.json what was run, where, and what came out.

    Args:
        run: the run folder.
        facts: what only the caller knows: command, versions, seed, precision.
    """

    def __init__(self, run: RunFolder, facts: dict[str, Any]) -> None:
        self.run, self.facts = run, facts
        self._began = self._seconds_before = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is known before the first step; a resume adds to what is there."""
        self._began = time.perf_counter()
        if not trainer.is_global_zero:
            return
        before = self.run.manifest()
        if "started" in before and trainer.global_step > 0:
            resume = {"command": self.facts["command"], "from_step": trainer.global_step, "started": _now()}
            self._seconds_before = before.get("times", {}).get("fit_seconds", 0.0)
            self.run.update_manifest(resumes=[*before.get("resumes", []), resume], status="running", reason=None)
            return
        describe = getattr(getattr(trainer, "datamodule", None), "describe", None)
        parameters = list(pl_module.parameters())
        self.run.update_manifest(
            **self.facts,
            status="running",
            started=_now(),
            device={"accelerator": type(trainer.accelerator).__name__, "devices": trainer.world_size},
            data=describe() if describe else {},
            net={
                "class": type(getattr(pl_module, "net", pl_module)).__name__,
                "parameters": sum(p.numel() for p in parameters),
                "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            },
        )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what came out."""
        self._finish(trainer, "finished")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write how far it came and why it ended."""
        status = "stopped" if type(exception).__name__ in ("StopRequested", "KeyboardInterrupt") else "failed"
        with contextlib.suppress(OSError):  # a full disk must not hide what happened
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
        best = trainer.checkpoint_callback
        if isinstance(best, ModelCheckpoint) and best.best_model_score is not None and best.monitor:
            entries["best"] = {best.monitor: float(best.best_model_score), **best_epoch(self.run, best)}
        self.run.update_manifest(
            **entries, **more, status=status, ended=_now(), epochs=trainer.current_epoch, steps=trainer.global_step
        )


def best_epoch(run: RunFolder, checkpoint: ModelCheckpoint) -> dict[str, int]:
    """Epoch (counted from 1) and step of the best checkpoint, read from the file itself."""
    from cnnkit.callbacks.checkpoint import load_checkpoint

    if not Path(checkpoint.best_model_path or "?").exists():  # the disk was full, say
        return {}
    found = load_checkpoint(checkpoint.best_model_path)
    return {"epoch": int(found["epoch"]) + 1, "step": int(found["global_step"])}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
