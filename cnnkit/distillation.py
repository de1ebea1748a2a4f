"""Training by the answers of a trained net, its teacher (Hinton et al. 2015, arXiv 1503.02531).

It is above the tasks because a teacher is rebuilt from its checkpoint, as for a prediction.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnkit import runs
from cnnkit.errors import UserError
from cnnkit.inference.preprocessing import Preprocessing, read_preprocessing
from cnnkit.inference.trained_net import load_classifier
from cnnkit.metrics import MeanLoss
from cnnkit.notices import printable
from cnnkit.tasks.classification import ClassificationTask, LabeledImages
from cnnkit.tasks.loss import match_dtype


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 * KL(teacher || student), both softened by the temperature T; the mean over images, a scalar.

    The gradients of softened probabilities shrink as 1 / T^2, so the factor keeps them comparable with those of labels.

    Args:
        student: logits (B, K).
        teacher: logits (B, K).
        temperature: T.

    Example:
        >>> distillation_loss(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), 1.0)
        tensor(0.3278)
    """
    exact = torch.promote_types(student.dtype, torch.float32)
    ours, theirs = ((logits.to(exact) / temperature).log_softmax(1) for logits in (student, teacher))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


class DistillationTask(ClassificationTask):
    """Train a net by labels and by a teacher: loss = (1 - w) * loss of the labels + w * T^2 * KL(teacher || student).

    The teacher sees the images that the net sees, augmented and mixed. It is in evaluation mode, has no gradients, and
    is no part of the net's weights, checkpoints or parameter count. Every epoch also logs ``train/loss_main``, the loss
    of the labels, and ``train/loss_teacher``, T^2 * KL, both without their weights. Validation, test and prediction are
    those of the net alone.

    Args:
        net: the net that learns.
        teacher: a run folder or a name, for the best checkpoint of its newest finished run, or a checkpoint.
        teacher_temperature: T, by which the logits of both are divided.
        teacher_weight: w, from 0 to 1.
        **kwargs: as for ClassificationTask.

    Raises:
        UserError: an argument is out of range, or images have several labels.
    """

    def __init__(
        self,
        net: nn.Module,
        teacher: str,
        teacher_temperature: float = 4.0,
        teacher_weight: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(net, **kwargs)
        if self.multilabel:
            raise UserError("multilabel: DistillationTask has one class an image; use ClassificationTask")
        if not 0 < teacher_temperature < math.inf:
            raise UserError(f"teacher_temperature is {teacher_temperature}: give a number above 0")
        if not 0 <= teacher_weight <= 1:
            raise UserError(f"teacher_weight is {teacher_weight}: give a number from 0 to 1")
        self.teacher, self.teacher_temperature, self.teacher_weight = teacher, teacher_temperature, teacher_weight
        self.teacher_facts: dict[str, Any] = {}  # of the manifest: where it lies, and a hash of its weights
        self._teacher: list[Any] = []  # in a list, for it is no module of this task
        self._affine: tuple[Tensor, Tensor] | None = None  # from the net's normalization to the teacher's
        self._teacher_size = (0, 0)
        self.main_loss, self.teacher_loss = MeanLoss(), MeanLoss()
        self._train_scores.parts = [self.main_loss, self.teacher_loss]

    @property
    def logs(self) -> tuple[str, ...]:
        """Names of the values that are logged besides the loss and the metrics."""
        return (*super().logs, "train/loss_main", "train/loss_teacher")

    def setup(self, stage: str) -> None:
        """Load the teacher, and check that it fits the images; a loaded checkpoint needs none.

        Raises:
            UserError: there is no such run, or its classes or images are others.
        """
        super().setup(stage)
        if stage != "fit":
            return
        path, configs = find_teacher(self.teacher)
        teacher, content = load_classifier(path, configs)
        if teacher.multilabel:
            raise UserError(f"model.teacher: {path} has several labels an image; name a run with one class an image")
        data = read_preprocessing(content, path)
        self._affine = _compare(data, getattr(self.trainer, "datamodule", None), path)
        self._teacher, self._teacher_size = [teacher.requires_grad_(False)], data.size
        self.teacher_facts = {"checkpoint": str(path), "sha256": hash_weights(content["state_dict"])}
        self.teacher_facts |= {"temperature": self.teacher_temperature, "weight": self.teacher_weight}

    def on_fit_start(self) -> None:
        """Bring the teacher to the net's device."""
        super().on_fit_start()
        self._teacher[0].to(self.device).eval()

    def compute_loss(self, batch: LabeledImages) -> tuple[Tensor, Tensor]:
        """Compute the weighted loss of one batch, and update the means of its parts; returns the net's logits."""
        images, labels = batch
        main, logits = super().compute_loss(batch)
        by_teacher = distillation_loss(logits, self.ask_teacher(images), self.teacher_temperature)
        self.main_loss.update(main, len(labels))
        self.teacher_loss.update(by_teacher, len(labels))
        return (1 - self.teacher_weight) * main + self.teacher_weight * by_teacher, logits

    @torch.no_grad()
    def ask_teacher(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), normalized for the net, to the teacher's logits (B, K)."""
        teacher = self._teacher[0]
        images = match_dtype(images, teacher)
        if self._affine is not None:
            scale, shift = (each.to(images) for each in self._affine)
            images = images * scale + shift
        if images.shape[2:] != self._teacher_size:  # progressive resizing shows the net smaller images
            images = F.interpolate(images, self._teacher_size, mode="bilinear", antialias=True)
        return teacher(images)  # type: ignore[no-any-return]

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log("train/loss_main", self.main_loss.compute())
        self.log("train/loss_teacher", self.teacher_loss.compute())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save where the teacher lies, and the hash of its weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["teacher"] = dict(self.teacher_facts)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a resumed fit has the teacher that it began with.

        Raises:
            UserError: it has another one.
        """
        super().on_load_checkpoint(checkpoint)
        before, now = checkpoint.get("teacher") or {}, self.teacher_facts
        if before and now and before["sha256"] != now["sha256"]:
            raise UserError(
                f"model.teacher: {now['checkpoint']} has other weights than the teacher that this run began with "
                f"({before['checkpoint']}); bring that one back, or start a new run"
            )


def find_teacher(name: str) -> tuple[Path, list[Path]]:
    """Return the checkpoint that a run folder, a name of runs, or a file stands for, and the run's configuration.

    Raises:
        UserError: there is none.
    """
    try:
        if Path(name).is_file() or name.endswith(".ckpt") or "://" in name:
            return runs.choose_checkpoint(None, name), []
        run = runs.choose_finished(name)
        return runs.choose_checkpoint(run, None), [run.config]
    except UserError as error:
        raise UserError(f"model.teacher: {error}") from None


def hash_weights(weights: Mapping[str, Any]) -> str:
    """Return the SHA-256 of tensors by name: a copied, moved or calibrated checkpoint has the same."""
    found = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _compare(data: Preprocessing, module: Any, path: Path) -> tuple[Tensor, Tensor] | None:
    """Return factor and summand, (C, 1, 1), from the net's normalization to the teacher's; None if they are equal.

    Raises:
        UserError: classes, channels or size of the images are others.
    """
    if not callable(getattr(module, "preprocessing", None)):
        raise UserError(
            f"model.teacher: {path} can be compared only with a data module that has preprocessing(), as "
            "cnnkit.ImageDataModule has: train with one"
        )
    own = read_preprocessing({"data": module.preprocessing()}, path)
    if list(own.class_names) != list(data.class_names):
        both = [", ".join(map(printable, names[:4])) for names in (data.class_names, own.class_names)]
        raise UserError(
            f"model.teacher: {path} has {len(data.class_names)} classes ({both[0]}, ...), "
            f"the data {len(own.class_names)} ({both[1]}, ...), or in another order; name another run"
        )
    for what, theirs, ours in (("channels", data.in_channels, own.in_channels), ("size", data.size, own.size)):
        if theirs != ours:
            raise UserError(f"model.teacher: {path} has images of {what} {theirs}, the data {ours}; name another run")
    if (list(own.mean), list(own.std)) == (list(data.mean), list(data.std)):
        return None
    mean, std, their_mean, their_std = (
        torch.tensor(list(each), dtype=torch.float64).view(-1, 1, 1)
        for each in (own.mean, own.std, data.mean, data.std)
    )
    return std / their_std, (mean - their_mean) / their_std
