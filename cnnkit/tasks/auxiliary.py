"""Training with auxiliary heads: small classifiers inside the net, whose losses are added to the net's loss.

Szegedy et al. 2014, arXiv 1409.4842, section 5 (weight 0.3, heads removed after training); Lee et al. 2014,
arXiv 1409.5185, section 2 (a head after every layer, weights that decay to zero).
"""

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from cnnkit.errors import UserError
from cnnkit.layers import AuxiliaryOutput, build_heads, compile_once, forward_with_heads
from cnnkit.layers.probing import run_on_black_image
from cnnkit.metrics import MeanLoss, build_accuracy, hard_labels
from cnnkit.tasks.classification import ClassificationTask, LabeledImages
from cnnkit.tasks.loss import match_dtype


class AuxiliaryLossTask(ClassificationTask):
    """Train a net with auxiliary heads: loss = main loss + sum over the heads of weight * loss.

    The heads are used in training only; validation, test and prediction run ``task.net`` without them. Every epoch also
    logs ``train/loss_main``, the main loss, which is comparable with ``val/loss``, and for each head
    ``train/loss_aux/<head>`` (without its weight) and ``train/acc_aux/<head>``.

    Args:
        net: a net with a method ``forward_aux``, such as GoogLeNet; any other net together with ``after``.
        after: names of modules of the net, such as ``layer1`` or ``features.4``. Each gets a head with its name, and
            heads of the net itself are not used.
        weight: weight of each head's loss: one number for all, a list in the order of the heads, or a dict by name.
        decay: ``linear`` lowers the weights to zero, which they reach at the last step of the run.
        kwargs: as for ClassificationTask.

    Raises:
        UserError: there are no heads, a module is unknown, or the weights do not fit the heads.
    """

    def __init__(
        self,
        net: nn.Module,
        after: list[str] | None = None,
        weight: float | list[float] | dict[str, float] = 0.3,
        decay: Literal["none", "linear"] = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(net, **kwargs)
        if self.multilabel:
            raise UserError("multilabel: AuxiliaryLossTask has one class an image; use ClassificationTask")
        if not after and not hasattr(net, "forward_aux"):
            raise UserError(
                f"{type(net).__name__} has no forward_aux, and so no heads: name modules that get a head, as in "
                f"after=[{', '.join(name for name, _ in net.named_children())}]"
            )
        if decay not in ("none", "linear"):
            raise UserError(f"decay {decay!r} is unknown; choose none or linear")
        self.after, self.decay, self.compile_net = list(after or ()), decay, bool(kwargs.get("compile_net"))
        self.heads = build_heads(net, self.after) if after else nn.ModuleDict()
        if self.channels_last:
            self.heads.to(memory_format=torch.channels_last)
        if self.compile_net:
            for head in self.heads.values():
                head.compile()
        names = self.after or list(run_on_black_image(net, cast(Any, net).forward_aux).aux_logits)
        self.weights = _weights_by_name(weight, names)
        self.last_step: int | None = None  # of the run; known when it starts
        self.main_loss = MeanLoss()
        # In lists, because names of heads have dots, and names of modules cannot.
        self.aux_losses = nn.ModuleList(MeanLoss() for _ in names)
        self.aux_accuracies = nn.ModuleList(build_accuracy() for _ in names)
        parts = [self.main_loss, *(metric for _, *metrics in self._parts() for metric in metrics)]
        self._train_scores.parts = parts

    @property
    def logs(self) -> tuple[str, ...]:
        """Names of the values that are logged besides the loss and the metrics."""
        heads = [f"train/{what}_aux/{name}" for name in self.weights for what in ("loss", "acc")]
        return (*super().logs, "train/loss_main", *heads)

    def forward_aux(self, images: Tensor) -> AuxiliaryOutput:
        """Map images (B, C, H, W) to the logits of the net and of every head."""
        images = match_dtype(images, self.net)
        if self.after:
            heads = dict(zip(self.after, self.heads.values(), strict=True))
            return forward_with_heads(self.net, heads, images, compiled=self.compile_net)
        run = cast(Any, type(self.net)).forward_aux  # `net.compile()` compiles its forward alone
        return cast(AuxiliaryOutput, (compile_once(run) if self.compile_net else run)(self.net, images))

    def compute_loss(self, batch: LabeledImages) -> tuple[Tensor, Tensor]:
        """Compute the total loss of one batch, and update the means of its parts; returns the net's own logits."""
        images, labels = batch
        output = self.forward_aux(images)
        total = main = self.criterion(output.logits, labels)
        self.main_loss.update(main, len(labels))
        for (name, weight), mean_loss, accuracy in self._parts():
            loss = self.criterion(output.aux_logits[name], labels)
            mean_loss.update(loss, len(labels))
            accuracy.update(output.aux_logits[name].detach(), hard_labels(labels))
            total = total + weight * self.decay_factor() * loss
        return total, output.logits

    def decay_factor(self) -> float:
        """Return the factor on all weights at this step; ``decay="linear"`` lowers it from 1 to 0."""
        if self.last_step is None:
            return 1.0
        return max(0.0, 1 - self.global_step / max(1, self.last_step))

    def on_train_start(self) -> None:
        """Measure the length of the run; not earlier, because that sets up the loaders."""
        super().on_train_start()
        if self.decay == "linear":
            run = self.measure_run()
            if run is None:
                raise UserError("decay=linear ends with the run: set trainer.max_epochs or trainer.max_steps")
            self.last_step = run.steps - 1

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log("train/loss_main", self.main_loss.compute())
        for (name, _), mean_loss, accuracy in self._parts():
            self.log(f"train/loss_aux/{name}", mean_loss.compute())
            self.log(f"train/acc_aux/{name}", accuracy.compute())

    def _parts(self) -> list[tuple[tuple[str, float], Metric, Metric]]:
        """Name and weight, mean loss, and accuracy of every head."""
        metrics = cast(list[Metric], self.aux_losses), cast(list[Metric], self.aux_accuracies)
        return list(zip(self.weights.items(), *metrics, strict=True))


def _weights_by_name(weight: float | list[float] | dict[str, float], names: list[str]) -> dict[str, float]:
    """Every head's weight, in the order of the heads."""
    if isinstance(weight, dict):
        weights = {name: weight[name] for name in names if name in weight}
        fits = set(weight) == set(names)
    else:
        values = list(weight) if isinstance(weight, (list, tuple)) else [weight] * len(names)
        weights = dict(zip(names, values, strict=False))
        fits = len(values) == len(names)
    if not fits or any(not 0 <= value < math.inf for value in weights.values()):
        raise UserError(f"weight is {weight}; give one number from 0 up, or one for each head: {', '.join(names)}")
    return {name: float(value) for name, value in weights.items()}
