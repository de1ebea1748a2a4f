"""The task that every run is: a net, a loss, an optimizer, a schedule and the numbers that are logged."""

import os
import warnings
from typing import Any, Literal, Self, cast

import lightning as L
import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from cnnkit.errors import UserError
from cnnkit.metrics import MeanLoss, TopKAccuracy, build_accuracy, count_classes, hard_labels
from cnnkit.optim import ScheduleFactory, plain_factory
from cnnkit.randomness import mix_seed
from cnnkit.tasks.numerics import check_loss, cross_entropy, match_dtype
from cnnkit.tasks.optimization import OptimizedModule
from cnnkit.tasks.state import is_plain, seed_device, sum_over_ranks
from cnnkit.tasks.tuning import follow_finders, unstride
from cnnkit.weights import skip_pretrained

Batch = tuple[Tensor, Tensor]


class ClassificationTask(OptimizedModule):
    """Trains any net that maps images (B, C, H, W) to logits (B, K).

    Research code overrides one of four methods of a few lines each: `compute_loss`, `build_metrics`,
    `parameter_groups`, `configure_optimizers`.

    Args:
        net: the net; on the command line its ``in_channels``, ``num_classes`` and ``image_size`` come from the data.
        optimizer: called with the parameter groups; ``fused`` is switched on where the optimizer has it.
        scheduler: called with the optimizer; none given: a constant rate. A length that is left out or 0
            (``T_max``, ``total_steps``, ``t_initial``) is filled in with that of the whole run.
        label_smoothing: share of each training target spread evenly over all classes (Szegedy et al. 2016).
        decay_norm_and_bias: false spares biases and normalization parameters the weight decay.
        schedule_interval: whether the schedule moves on every ``step`` or ``epoch``; ``auto``: as its arguments say,
            see `cnnkit.optim.plan_schedule`.
        monitor: what a schedule that waits for a plateau looks at.
        channels_last: keep images and convolution weights in the memory format that CPUs and GPUs are fast at.
        compile_net: compile the net with `torch.compile`, in place, so that its state_dict keeps its names.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: ScheduleFactory | None = None,
        label_smoothing: float = 0.0,
        decay_norm_and_bias: bool = True,
        schedule_interval: Literal["auto", "step", "epoch"] = "auto",
        monitor: str = "val/loss",
        channels_last: bool = True,
        compile_net: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing is {label_smoothing}: give a share from 0 up to, not including, 1")
        with warnings.catch_warnings():  # that the net is a module and thus saved anyway
            warnings.simplefilter("ignore")
            self.save_hyperparameters(logger=False)
        # From the command line these are plain values and the checkpoint can rebuild the task. From Python they hold
        # objects, which would make the checkpoint unloadable with weights_only=True: keep what is plain.
        for name in [name for name, value in self.hparams.items() if not is_plain(value)]:
            del self.hparams[name]
        self.net = net.to(memory_format=torch.channels_last) if channels_last else net
        self.optimizer, self.scheduler = plain_factory(optimizer), scheduler and plain_factory(scheduler)
        self.label_smoothing, self.decay_norm_and_bias = label_smoothing, decay_norm_and_bias
        self.schedule_interval, self.monitor, self.channels_last = schedule_interval, monitor, channels_last
        if compile_net:
            self.net.compile()
        stages = ("train", "val", "test")
        self.scores = nn.ModuleDict({f"{stage}_scores": self._build_scores() for stage in stages})

    @_restricted_classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **kwargs: Any,
    ) -> Self:
        """As Lightning's; nothing but weights and plain values is read, and the net fetches no pretrained weights."""
        with skip_pretrained():
            return super().load_from_checkpoint(
                checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs
            )

    # ---- what research code overrides ---------------------------------------------------------------------------

    def compute_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The training loss of one batch.

        Args:
            batch: images (B, C, H, W), and labels int64 (B,) or soft (B, K).

        Returns:
            The loss to differentiate, a scalar, and the logits (B, K) that the training metrics see.
        """
        images, labels = batch
        logits = self(images)
        return cross_entropy(logits, labels, self.label_smoothing), logits

    def build_metrics(self) -> MetricCollection:
        """The metrics of one stage, updated with logits (B, K) and labels (B,), logged as ``<stage>/<name>``.

        Accuracy; and with more than ten classes the share of images whose class is among the five likeliest.
        """
        metrics: dict[str, Metric | MetricCollection] = {"acc": build_accuracy()}
        if (count_classes(self.net) or 0) > 10:
            metrics["acc_top5"] = TopKAccuracy(5)
        return MetricCollection(metrics)

    # ---- the loop ------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        return self.net(match_dtype(images, self.net))  # type: ignore[no-any-return]

    def on_fit_start(self) -> None:
        """Say in one line if images and net do not fit, before the first step says it in thirty."""
        self._check_fit()
        follow_finders(self)
        unstride(self)

    @property
    def logs(self) -> tuple[str, ...]:
        """Names of what is logged besides the loss and the metrics."""
        return ("train/loss_step",)

    def on_train_start(self) -> None:
        """Bring the loader to the batch at which a resumed run stopped.

        Lightning does so when it sets the loaders up; asking for the length of the run, as `configure_optimizers` does,
        sets them up before the checkpoint is read.
        """
        super().on_train_start()
        self.trainer.fit_loop._load_combined_loader_states()
        self.check_accumulation()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make dropout a function of seed and step: the same for any workers, before and after a resume."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        seed_device(mix_seed(seed, self.global_step, self.global_rank), self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; the loss of single steps is logged every ``trainer.log_every_n_steps``."""
        loss, logits = check_loss(self, self.compute_loss(batch))
        self._update("train", loss, logits, batch[1])
        if (self.global_step + 1) % log_interval(self.trainer) == 0:
            self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Count loss and metrics of one validation batch.

        Returns:
            For callbacks: ``loss``, a scalar, ``logits`` (B, K), ``labels`` (B,).
        """
        return self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The same of one test batch."""
        return self._evaluate("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities (B, K), float32."""
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        return self(images).float().softmax(dim=1)  # type: ignore[no-any-return]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means."""
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means over all validation images."""
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        """Log the means over all test images."""
        self._log_epoch("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the epoch has summed up so far, over all ranks, for a run that is resumed within it.

        And how the data module prepares an image, for ``predict --images``.
        """
        super().on_save_checkpoint(checkpoint)
        checkpoint["train_scores"] = [sum_over_ranks(metric) for metric in self._train_metrics()]
        preprocessing = getattr(getattr(self._trainer, "datamodule", None), "preprocessing", None)
        if callable(preprocessing):
            checkpoint["data"] = preprocessing()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Sum on from there, on the first rank."""
        super().on_load_checkpoint(checkpoint)
        for metric, state in zip(self._train_metrics(), checkpoint.get("train_scores", []), strict=False):
            for name, value in state.items() if self.global_rank == 0 else ():
                setattr(metric, name, value.to(metric.device) if torch.is_tensor(value) else value)

    def _train_metrics(self) -> list[Metric]:
        mean_loss, metrics = self._scores("train")
        return [mean_loss, *metrics.values(copy_state=False)]

    def _evaluate(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        images, labels = batch
        logits = self(images).float()
        loss = cross_entropy(logits, labels)
        self._update(stage, loss, logits, labels)
        return {"loss": loss, "logits": logits, "labels": labels}

    def _build_scores(self) -> nn.ModuleDict:
        return nn.ModuleDict({"loss": MeanLoss(), "metrics": self.build_metrics()})

    def _scores(self, stage: str) -> tuple[MeanLoss, MetricCollection]:
        scores = cast(nn.ModuleDict, self.scores[f"{stage}_scores"])  # "train" alone is a method of every module
        return cast(MeanLoss, scores["loss"]), cast(MetricCollection, scores["metrics"])

    def _update(self, stage: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        mean_loss, metrics = self._scores(stage)
        mean_loss.update(loss.detach(), len(labels))
        metrics.update(logits.detach(), hard_labels(labels))

    def _log_epoch(self, stage: str) -> None:
        mean_loss, metrics = self._scores(stage)
        for name, value in {"loss": mean_loss.compute(), **metrics.compute()}.items():
            if torch.is_tensor(value) and value.ndim == 0:  # a confusion matrix is for a callback to draw
                self.log(f"{stage}/{name}", value)  # the metrics have summed over the ranks already
        mean_loss.reset()
        metrics.reset()

    def _check_fit(self) -> None:
        data = getattr(self.trainer, "datamodule", None)
        for name, of_data in (getattr(data, "shape", None) or {}).items():
            of_net = getattr(self.net, name, of_data)
            if of_net not in (of_data, (of_data, of_data)):
                net, images = type(self.net).__name__, type(data).__name__
                raise UserError(
                    f"{net} was built for {name} {of_net}, but {images} has {of_data}: pass {name}={of_data}"
                )


def log_interval(trainer: L.Trainer) -> int:
    """Steps between two logged values of single steps, ``trainer.log_every_n_steps``."""
    return int(getattr(trainer, "log_every_n_steps", 50)) or 1
