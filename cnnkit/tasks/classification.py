"""The task of every run: a net, a loss, an optimizer, a schedule and logged metrics."""

import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import MetricCollection

from cnnkit.errors import UserError
from cnnkit.metrics import count_classes, log_interval
from cnnkit.optim import ScheduleFactory, plain_factory
from cnnkit.randomness import mix_seed
from cnnkit.tasks import resume
from cnnkit.tasks.correction import Correction
from cnnkit.tasks.finders import follow_finders, prepare_pruning
from cnnkit.tasks.imbalance import count_for_loss, report_imbalance
from cnnkit.tasks.loss import check_loss, match_dtype
from cnnkit.tasks.optimization import ModuleWithOptimizer
from cnnkit.tasks.scores import StageScores, TrainScores
from cnnkit.tasks.shapes import check_labels, check_shapes, lay_out
from cnnkit.tasks.targets import choose_targets, name_scalars, use_thresholds
from cnnkit.tasks.training_loss import LossName, TrainingLoss
from cnnkit.tasks.tta import TTA, average_views

LabeledImages = tuple[Tensor, Tensor]


class ClassificationTask(ModuleWithOptimizer):
    """Train any net that maps images (B, C, H, W) to logits (B, K).

    Research code overrides one of four short methods: `compute_loss`, `build_metrics`, `parameter_groups`,
    `configure_optimizers`.

    Args:
        net: the net; on the command line its ``in_channels``, ``num_classes`` and ``image_size`` come from the data.
        optimizer: called with the parameter groups; ``fused`` is switched on where the optimizer has it.
        scheduler: called with the optimizer; by default the rate is constant. A length that is left out or 0
            (``T_max``, ``total_steps``, ``t_initial``) becomes that of the run.
        label_smoothing: share of each training target spread evenly over all classes (Szegedy et al. 2016).
        decay_norm_and_bias: whether biases and normalization parameters have weight decay.
        schedule_interval: whether the schedule moves on every ``step`` or ``epoch``; ``auto`` follows the names of its
            arguments, see `cnnkit.optim.plan_schedule`.
        monitor: metric of a schedule that waits for a plateau.
        channels_last: keep images and convolution weights in channels_last memory format, which is faster.
        compile_net: compile the net with `torch.compile`, in place, so that its state_dict keeps its names.
        tta: views of each image that a test or prediction averages over, see `cnnkit.tasks.tta.average_views`. Scores
            with it are logged beside the plain ones, as ``test/acc_tta``; a fit validates without it.
        loss: of training: ``cross_entropy``, ``focal`` or ``logit_adjusted``, see `cnnkit.tasks.training_loss`.
            Validation and test always have plain cross entropy.
        class_weights: of the training loss: one for each class, or ``balanced``, counted in the training part.
        focal_gamma: exponent of the focal loss.
        logit_tau: strength of the logit adjustment.
        multilabel: an image has none, one or several classes, see `cnnkit.tasks.targets`; ``thresholds`` are (K,).
        posthoc_tau: strength of the logit adjustment after a training with plain cross entropy, see
            `cnnkit.tasks.correction`: in validation, test and prediction.
    """

    _loader_states: Sequence[dict[str, Any]] = ()  # of the checkpoint from which the fit resumes

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
        tta: TTA = "none",
        loss: LossName = "cross_entropy",
        class_weights: Literal["balanced"] | list[float] | None = None,
        focal_gamma: float = 2.0,
        logit_tau: float = 1.0,
        multilabel: bool = False,
        posthoc_tau: float = 0.0,
    ) -> None:
        super().__init__()
        if tta not in get_args(TTA):
            raise UserError(f"tta is {tta!r}: choose one of {', '.join(get_args(TTA))}")
        with warnings.catch_warnings(action="ignore"):  # that a checkpoint holds the net twice
            self.save_hyperparameters(logger=False)
        resume.drop_objects(self.hparams)
        self.criterion = TrainingLoss(loss, class_weights, label_smoothing, focal_gamma, logit_tau, count_classes(net))
        self.net = lay_out(net, channels_last=channels_last)
        self.optimizer, self.scheduler = plain_factory(optimizer), scheduler and plain_factory(scheduler)
        self.label_smoothing, self.decay_norm_and_bias = label_smoothing, decay_norm_and_bias
        self.schedule_interval, self.monitor, self.channels_last = schedule_interval, monitor, channels_last
        self.tta: TTA = tta
        if compile_net:
            self.net.compile()
        self.multilabel, self.targets = multilabel, choose_targets(net, multilabel, self.criterion.is_plain)
        self.thresholds = torch.full((self.targets.classes,), 0.5)  # no buffer: averages of weights would mix it
        self.correction = Correction()
        self.correction.use_tau(posthoc_tau, plain_loss=self.criterion.is_plain and not multilabel)
        stages = ("val", "test", "tta")
        self.scores = nn.ModuleDict({f"{s}_scores": StageScores(self.build_metrics(), s, self.targets) for s in stages})
        self.scores["train_scores"] = TrainScores(self.build_metrics(), self.targets)

    def compute_loss(self, batch: LabeledImages) -> tuple[Tensor, Tensor]:
        """Compute the training loss of one batch.

        Args:
            batch: images (B, C, H, W), and labels int64 (B,) or soft (B, K).

        Returns:
            The loss, a scalar, and the logits (B, K) for the training metrics.
        """
        logits = self(batch[0])
        if self.multilabel:
            return self.targets.compute_loss(logits, batch[1], self.label_smoothing), logits
        return self.criterion(logits, batch[1]), logits

    def build_metrics(self) -> MetricCollection:
        """Build the metrics of one stage, updated with logits (B, K) and labels (B,), logged as ``<stage>/<name>``.

        They are accuracy and, with more than ten classes, top-5 accuracy. Those of ``multilabel`` get labels (B, K).
        """
        return self.targets.build_metrics(self.net)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        return self.net(match_dtype(images, self.net))  # type: ignore[no-any-return]

    def setup(self, stage: str) -> None:
        """Count the classes if the loss or the correction of the logits needs it."""
        count_for_loss(self, stage)

    def on_fit_start(self) -> None:
        """Check that net and images agree, report an imbalance of the classes, and apply what a finder has found."""
        check_shapes(self)
        check_labels(self)
        report_imbalance(self)
        follow_finders(self)
        prepare_pruning(self)

    def on_test_start(self) -> None:
        """Check that task and labels agree, and score with the thresholds of the checkpoint."""
        check_labels(self)
        for scores in map(self._scores, ("test", "tta") if self.multilabel else ()):
            use_thresholds(scores.task_metrics, self.thresholds)

    @property
    def logs(self) -> tuple[str, ...]:
        """Names of the values that are logged besides the loss and the metrics."""
        return ("train/loss_step",)

    def on_train_start(self) -> None:
        """Bring the loaders to the batch at which a resumed run stopped."""
        super().on_train_start()
        resume.restore_loaders(self.trainer.train_dataloader, self._loader_states)
        self._loader_states = ()
        self.check_accumulation()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by seed and step, so that it is the same for any number of workers and after a resume."""
        seed = mix_seed(int(os.environ.get("PL_GLOBAL_SEED", 0)), self.global_step, self.global_rank)
        resume.seed_device(seed, self.device)

    def training_step(self, batch: LabeledImages, batch_idx: int) -> Tensor:
        """Compute the loss; log that of single steps every ``trainer.log_every_n_steps``."""
        if self._train_scores.epoch_is_over:
            self._train_scores.reset()
        loss, logits = check_loss(self, self.compute_loss(batch))
        self._train_scores.add(loss, logits, batch[1])
        if (self.global_step + 1) % log_interval(self.trainer) == 0:
            self.log("train/loss_step", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: LabeledImages, batch_idx: int) -> dict[str, Tensor]:
        """Update loss and metrics; return ``loss``, a scalar, ``logits`` (B, K), ``labels`` (B,) for callbacks."""
        return self._evaluate("val", batch)

    def test_step(self, batch: LabeledImages, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return class probabilities (B, K), float32."""
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        logits = self.correction.adjust(average_views(self, images, self.tta))
        return self.targets.to_probabilities(self.correction.scale(logits, self.tta))

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the metrics of the epoch so far, over all ranks, and the image preparation for ``predict --images``."""
        super().on_save_checkpoint(checkpoint)
        checkpoint |= {"thresholds": self.thresholds} if self.multilabel else {}
        self.correction.save(checkpoint)
        checkpoint["train_scores"] = [resume.sum_over_ranks(metric) for metric in self._train_scores.list_metrics()]
        preprocessing = getattr(getattr(self.attached_trainer, "datamodule", None), "preprocessing", None)
        if callable(preprocessing):
            checkpoint["data"] = preprocessing()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the metrics of the epoch so far, on the first rank; an epoch that was cut short goes on."""
        super().on_load_checkpoint(checkpoint)
        self.thresholds = checkpoint.get("thresholds", self.thresholds).cpu()
        fits = (trainer := self.attached_trainer) is not None and trainer.state.fn == TrainerFn.FITTING
        self.correction.load(checkpoint, resumes=fits)
        if fits:
            self._train_scores.epoch_is_over = not resume.reopen_epoch(checkpoint)
        self._loader_states = resume.read_loader_states(checkpoint)
        if self.global_rank == 0:
            resume.restore_metrics(self._train_scores.list_metrics(), checkpoint.get("train_scores", []))

    def _evaluate(self, stage: str, batch: LabeledImages) -> dict[str, Tensor]:
        images, labels = batch
        logits = self.correction.adjust(self(images).float())
        loss = self.targets.compute_loss(logits, labels)
        self._scores(stage).add(loss, logits, labels)
        if self.tta != "none" and self.trainer.state.fn != TrainerFn.FITTING:
            averaged = self.correction.adjust(average_views(self, images, self.tta))
            self._scores("tta").add(self.targets.compute_loss(averaged, labels), averaged, labels)
        return {"loss": loss, "logits": logits, "labels": labels}

    def _scores(self, stage: str) -> StageScores:
        return cast(StageScores, self.scores[f"{stage}_scores"])  # "train" alone is a method of every module

    @property
    def _train_scores(self) -> TrainScores:
        return cast(TrainScores, self._scores("train"))

    def _log_epoch(self, stage: str) -> None:
        self._log_scores(stage, stage)
        if self.tta != "none" and self.trainer.state.fn != TrainerFn.FITTING:
            self._log_scores("tta", stage, "_tta")

    def _log_scores(self, stage_scores: str, stage: str, suffix: str = "") -> None:
        scores = self._scores(stage_scores)
        values = scores.compute()
        fits = self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking
        if fits and "threshold_class" in values:
            self.thresholds = values["threshold_class"].cpu()
        for name, value in name_scalars(values, self.trainer, stage).items():
            self.log(f"{stage}/{name}{suffix}", value)  # the metrics have summed over the ranks already
        scores.end_epoch()
