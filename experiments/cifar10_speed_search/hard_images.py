"""A task that trains on the half of each batch that a small net finds hardest, after airbench96 of arXiv 2404.00498.

With batches of 2,000 images the net takes steps of 1,000, so eight epochs are as many steps as four of the base.
"""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from cnnkit import ClassificationTask, SpeedNet
from cnnkit.tasks.classification import LabeledImages


class HardImagesTask(ClassificationTask):
    """Choose the images to train on by the loss of a small net that was trained before.

    Args:
        proxy: checkpoint of a `SpeedNet` with widths (32, 64, 64).
        kept: fraction of each batch to train on.
        **options: as for `ClassificationTask`.
    """

    def __init__(self, proxy: str, kept: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        weights = torch.load(proxy, map_location="cpu", weights_only=True)["state_dict"]
        net = SpeedNet(widths=(32, 64, 64))
        net.load_state_dict({k.removeprefix("net."): v for k, v in weights.items() if k.startswith("net.")})
        self.kept = kept
        self._proxy = [net.eval().requires_grad_(False)]  # in a list: no part of this task's weights

    def training_step(self, batch: LabeledImages, batch_idx: int) -> torch.Tensor:
        """Train on the images of the batch (B, C, H, W) that have the largest loss."""
        images, labels = batch[0], batch[1]
        with torch.no_grad():
            losses = cross_entropy(self._proxy[0](images).float(), labels, reduction="none")
        hardest = losses.topk(round(self.kept * len(labels))).indices
        return super().training_step((images[hardest], labels[hardest]), batch_idx)
