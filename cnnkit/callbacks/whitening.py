"""Fill a net's first convolution with filters that whiten the training images, and freeze them."""

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.layers.whitening import whitening_filters


class Whitening(Callback):
    """Initializes the first convolution from patches of training images (Page 2019; Jordan 2024, arXiv 2404.00498).

    Its filters become the whitening filters of the images as the net sees them, without augmentation, and, as far as
    there are more filters, the negatives of these. They stay frozen; the bias trains for a few epochs, then it freezes
    too. A resumed run keeps the filters of its checkpoint. With several processes all use the filters of the first,
    which sees its share of the images.

    Args:
        images: number of training images, the first of the split's order.
        eps: keeps directions of little variance small, see `cnnkit.layers.whitening.whitening_filters`.
        bias_epochs: epochs in which the bias trains.

    Raises:
        UserError: an argument is out of range, or the net's first convolution or the data do not fit.
    """

    def __init__(self, images: int = 5000, eps: float = 5e-4, bias_epochs: int = 3) -> None:
        if images < 1:
            raise UserError(f"images is {images}: Whitening takes at least 1")
        if not eps >= 0:
            raise UserError(f"eps is {eps}: Whitening takes at least 0")
        if bias_epochs < 0:
            raise UserError(f"bias_epochs is {bias_epochs}: Whitening takes at least 0")
        self.images, self.eps, self.bias_epochs = images, eps, bias_epochs

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Set and freeze the filters before the optimizer is built; a checkpoint's own are loaded over them later."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if sum(isinstance(each, Whitening) for each in trainer.callbacks) > 1:  # type: ignore[attr-defined]
            raise UserError("trainer.callbacks: Whitening stands twice, and the second would whiten again: give one")
        conv = self._find_convolution(pl_module)
        batches = getattr(getattr(trainer, "datamodule", None), "plain_batches", None)
        if batches is None:
            raise UserError("trainer.callbacks: Whitening needs a data module with plain_batches, as cnnkit's have")
        images: list[Tensor] = []
        for batch, _ in batches("train"):
            images.append(batch)
            if sum(map(len, images)) >= self.images:
                break
        filters = whitening_filters(torch.cat(images)[: self.images], conv.kernel_size[0], self.eps)
        both = torch.cat((filters, -filters))[: conv.out_channels]
        with torch.no_grad():
            conv.weight[: len(both)] = both.to(conv.weight)
        self.freeze_before_training(pl_module)

    def freeze_before_training(self, module: L.LightningModule) -> nn.Conv2d:
        """Freeze the filters, whatever they are, and return their layer."""
        conv = self._find_convolution(module)
        conv.weight.requires_grad_(False)
        return conv

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Freeze the bias when its epochs are over: no gradient then has to reach the first layer.

        Several processes average the gradients of the parameters that trained at the start, so there it is kept, and
        dropped before each step.
        """
        if trainer.current_epoch >= self.bias_epochs and trainer.world_size == 1:
            for bias in self._list_biases(pl_module):
                bias.requires_grad_(False)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        if trainer.current_epoch >= self.bias_epochs:
            for bias in self._list_biases(pl_module):
                bias.grad = None  # else momentum would still move it

    def _list_biases(self, module: L.LightningModule) -> list[nn.Parameter]:
        bias = self._find_convolution(module).bias
        return [bias] if isinstance(bias, nn.Parameter) else []

    def _find_convolution(self, module: L.LightningModule) -> nn.Conv2d:
        convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        if not convolutions:
            raise UserError("trainer.callbacks: Whitening needs a net with a convolution")
        conv = convolutions[0]
        rows, columns = conv.kernel_size
        count = conv.in_channels * rows * columns
        if rows != columns or conv.groups != 1 or conv.out_channels < count:
            raise UserError(
                f"trainer.callbacks: Whitening needs at least {count} filters in the net's first convolution, "
                f"which has {conv.out_channels} of {rows}x{columns} pixels: take SpeedNet, or a net with more or "
                "smaller filters there"
            )
        return conv
