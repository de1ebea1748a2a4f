"""The arrays of a data module, copied to the GPU once if they are to stay there."""

from typing import Literal

import torch
from torch import Tensor

from cnnkit.data.batches import Images
from cnnkit.errors import UserError

Arrays = tuple[Images, Tensor]  # images or features, and their labels


class GpuCache:
    """Keeps arrays on the GPU.

    Args:
        resident: ``device`` always, ``host`` never, ``auto`` if they take at most a third of the free memory.
    """

    def __init__(self, resident: Literal["auto", "device", "host"]) -> None:
        self.resident = resident
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}

    def place(self, name: str, arrays: Arrays, device: torch.device) -> Arrays:
        """Return the arrays on the device if they are to stay there, else unchanged; image files never move.

        Raises:
            UserError: they must be on a GPU, and the run is not on one.
        """
        images, labels = arrays
        if not isinstance(images, Tensor):
            return arrays
        if self.resident == "host" or device.type != "cuda":
            if self.resident == "device":
                raise UserError(
                    f"resident is 'device', but the run is on {device}: give 'auto' or trainer.accelerator=gpu"
                )
            return arrays
        if self.resident == "auto" and images.nbytes > torch.cuda.mem_get_info(device)[0] / 3:
            return arrays
        if name not in self._kept:
            self._kept[name] = images.to(device), labels.to(device)
        return self._kept[name]

    def clear(self) -> None:
        """Free the GPU's memory."""
        self._kept.clear()
