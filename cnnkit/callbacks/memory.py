"""The memory that a run takes."""

import resource
import sys
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

MB = 1e6


class Memory(Callback):
    """Logs at every epoch's end ``memory/peak_mb``, the most that the process ever had resident.

    On a GPU it also logs ``memory/gpu_peak_mb``, the most that tensors took. Both are megabytes (10^6 bytes) of the
    first rank.
    """

    logs = ("memory/peak_mb", *(("memory/gpu_peak_mb",) if torch.cuda.is_available() else ()))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("memory/peak_mb", peak_resident() / MB, rank_zero_only=True)
        device = trainer.strategy.root_device
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device) / MB
            pl_module.log("memory/gpu_peak_mb", peak, rank_zero_only=True)


def peak_resident() -> int:
    """Bytes of memory that this process had resident at most, so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; there `getrusage` begins with the peak of the process that started this one
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        if kilobytes is not None:
            return int(kilobytes) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
