"""Where a data module's arrays lie: on the host, or copied to the GPU once."""

from typing import Literal

import torch
from torch import Tensor

from cnnkit.data.batches import Images
from cnnkit.errors import UserError

Arrays = tuple[Images, Tensor]  # images or features, and their labels


class GpuCache:
    """Keeps arrays on the GPU, if they are to be there.

    Args:
        wish: ``device`` insists, ``host`` never does, ``auto`` if there is room to spare.
    """

    def __init__(self, wish: Literal["auto", "device", "host"]) -> None:
        self.wish = wish
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}

    def place(self, name: str, arrays: Arrays, device: torch.device) -> Arrays:
        """The arrays on the device if they are to stay there, else as they are.

        Args:
            name: by which they are found again.
            arrays: images and labels; files stay where they are.
            device: the run's.

        Raises:
            UserError: they must be on a GPU, and the run is on none.
        """
        images, labels = arrays
        if not isinstance(images, Tensor):
            return arrays
        if self.wish == "host" or device.type != "cuda":
            if self.wish == "device":
                raise UserError(
                    f"resident is 'device', but the run is on {device}: give 'auto' or trainer.accelerator=gpu"
                )
            return arrays
        # A third of what is free leaves room for the net; `device` insists.
        if self.wish == "auto" and images.nbytes > torch.cuda.mem_get_info(device)[0] / 3:
            return arrays
        if name not in self._kept:
            self._kept[name] = images.to(device), labels.to(device)
        return self._kept[name]

    def clear(self) -> None:
        """Give the GPU's memory back."""
        self._kept.clear()
