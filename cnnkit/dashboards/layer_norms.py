"""The norms of gradients and weights in every layer: they show vanishing and exploding gradients.

Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward
neural networks", section 4; He et al. 2015, arXiv 1512.03385, section 4.1.
"""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from cnnkit.dashboards.board import is_sharded, last_step, send_to_loggers
from cnnkit.metrics import log_interval


class LayerNorms(Callback):
    """Logs ``gradients/<layer>``, ``weights/<layer>`` and ``ratio/<layer>``, the first divided by the second.

    A layer is a weight of at least two dimensions, such as a convolution's; biases and normalization are left out. The
    norms are Euclidean, those of gradients before clipping. The first step of a run is logged alone: it shows the net
    as it was initialized. After that every epoch has one row, in which the gradient norm is the mean over its last step
    and every ``trainer.log_every_n_steps``-th one. Frozen layers have no gradient and are left out.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}  # of the gradient norms of this epoch, on the device
        self._counts: dict[str, int] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": {name: value.clone() for name, value in self._sums.items()}, "counts": dict(self._counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums, self._counts = dict(state_dict["sums"]), dict(state_dict["counts"])

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        step, logs = trainer.global_step, trainer.is_global_zero and trainer.loggers and not is_sharded(trainer)
        if logs and (step % log_interval(trainer) == 0 or trainer.is_last_batch):
            self._measure(pl_module, _loss_scale(trainer, optimizer))
            if step == 0:
                self._log(trainer, pl_module, step)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._log(trainer, pl_module, last_step(trainer))
        self._sums, self._counts = {}, {}

    def _measure(self, module: nn.Module, scale: float) -> None:
        gradients = {name: weight.grad for name, weight in layer_weights(module) if weight.grad is not None}
        for name, norm in zip(gradients, _norms(list(gradients.values())), strict=True):
            before = self._sums.get(name)
            self._sums[name] = norm / scale + (0 if before is None else before.to(norm.device))
            self._counts[name] = self._counts.get(name, 0) + 1

    def _log(self, trainer: L.Trainer, module: nn.Module, step: int) -> None:
        names = list(self._sums)
        if not names:
            return
        weights = dict(layer_weights(module))
        sizes = torch.stack(_norms([weights[name] for name in names]))
        sums = torch.stack([self._sums[name] for name in names]).to(sizes.device)
        found = torch.stack([sums, sizes]).cpu()  # the only wait for the device
        gradients = found[0] / torch.tensor([self._counts[name] for name in names])
        columns = {"gradients": gradients, "weights": found[1], "ratio": gradients / found[1]}
        values = {
            f"{kind}/{name}": value
            for kind, column in columns.items()
            for name, value in zip(names, column.tolist(), strict=True)
        }
        send_to_loggers(trainer, values, step)


def layer_weights(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Weights of convolutions and dense layers with the layers' names, in the order of the net."""
    return [
        (name.removeprefix("net.").removesuffix(".weight"), parameter)
        for name, parameter in module.named_parameters()
        if parameter.ndim >= 2
    ]


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """Return norms, float32: of 16 bits summed in float32, of float64 in float64, which torch does not narrow."""
    wide = [tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors]
    return [torch.linalg.vector_norm(tensor).float() for tensor in wide]


def _loss_scale(trainer: L.Trainer, optimizer: torch.optim.Optimizer) -> float:
    """Return by what gradients are too large: in 16-mixed a fused optimizer removes the scale only in its own step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    fused = any(group.get("fused") for group in optimizer.param_groups)
    return float(scaler.get_scale()) if scaler is not None and fused else 1.0
