"""Checkpoints that are whole or not there, and that run no code when they are read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from cnnkit.errors import UserError
from cnnkit.files import replacing
from cnnkit.weights.checkpoints import load_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Saves beside the target and renames; loads local files with ``weights_only=True`` alone.

    Lightning's own plugin writes to ``$TMPDIR`` and copies: a kill or a full disk in that moment costs the old
    checkpoint too.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any | None = None
    ) -> None:
        """Write the file, flush it to the disk, rename it into place.

        Raises:
            UserError: the disk is full or the folder cannot be written; the old file stays as it was.
        """
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target, "wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch wraps a full disk in a RuntimeError
            reason = error.strerror if isinstance(error, OSError) else "is the disk full?"
            raise UserError(
                f"{target}: cannot save the checkpoint ({reason}); the one before it is untouched"
            ) from error

    def load_checkpoint(
        self, path: str | os.PathLike, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_checkpoint(path, map_location)

    def remove_checkpoint(self, path: str | os.PathLike) -> None:
        Path(path).unlink(missing_ok=True)
