"""Checkpoints that are whole or not there, and that run no code when they are read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from cnnkit.callbacks.checkpoint_reading import load_checkpoint
from cnnkit.errors import UserError


class SafeCheckpointIO(CheckpointIO):
    """Saves beside the target and renames; loads local files with ``weights_only=True`` alone.

    Lightning's own plugin stages in ``$TMPDIR`` and copies: a kill or a full disk in that moment costs the old
    checkpoint too.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any | None = None
    ) -> None:
        """Write the file, flush it to the disk, rename it into place.

        Raises:
            UserError: if the disk is full or the folder cannot be written; the old file is untouched.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except (OSError, RuntimeError) as error:  # torch wraps a full disk in a RuntimeError
            reason = error.strerror if isinstance(error, OSError) else "is the disk full?"
            raise UserError(
                f"{target}: cannot save the checkpoint ({reason}); the one before it is untouched"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | os.PathLike, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a local file.

        Raises:
            UserError: if the path is a URL, is missing, damaged, or holds anything but tensors and plain values.
        """
        return load_checkpoint(path, map_location)

    def remove_checkpoint(self, path: str | os.PathLike) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


class _MovableCheckpoint(ModelCheckpoint):
    """Lightning's, whose memory of the best score survives that the run folder is moved or copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As Lightning's, for the files of the same names in the folder where they are now."""

        def here(path: str) -> str:
            return str(Path(self.dirpath or "") / Path(path).name) if path else path

        moved = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best_k = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best_k, "dirpath": self.dirpath})


def best_and_last(folder: Path, monitor: str | None = "val/acc", mode: str = "max") -> list[ModelCheckpoint]:
    """The run's two checkpoints: ``best.ckpt`` by the monitored score, and ``last.ckpt``.

    Two callbacks, the best one first, so that ``last.ckpt`` knows it. Lightning's ``save_last`` writes the last one
    only when it has just written a best one.
    """

    def saves(name: str, monitor: str | None) -> ModelCheckpoint:
        return _MovableCheckpoint(
            dirpath=folder,
            filename=name,
            monitor=monitor,
            mode=mode,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    return ([saves("best", monitor)] if monitor else []) + [saves("last", None)]
