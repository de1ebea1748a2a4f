"""What no signature says of Lightning's callbacks: the arguments that they need, and their visible effects."""

from collections.abc import Callable
from dataclasses import dataclass

from compatibility.harness import Attempt


@dataclass(frozen=True)
class Subject:
    """How one callback is tried.

    Args:
        needed: arguments without which it cannot be made, or would not act within two epochs of three steps.
        words: what else the run needs.
        wrong: argument and value for which it must be refused.
        late: of these, what is seen after the first epoch alone.
        effect: what must be true after a run that ended well.
    """

    needed: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    late: tuple[str, ...] = ("monitor",)
    effect: Callable[[Attempt], object] | None = None


def shows(text: str) -> Callable[[Attempt], bool]:
    """What is printed."""
    return lambda end: text in end.out + end.err


BAR = ("--trainer.enable_progress_bar=true",)
LONGER = ("--trainer.limit_train_batches=20", "--model.scheduler=WarmupCosineLR")

SUBJECTS: dict[str, Subject] = {
    "BackboneFinetuning": Subject(needed=("unfreeze_backbone_at_epoch=1",)),
    "BatchSizeFinder": Subject(
        needed=("max_val=64",),
        wrong=("mode=nonsense", "margin=2"),
        effect=lambda end: end.manifest["tuned"] == {"data.batch_size": 64},
    ),
    "EarlyStopping": Subject(
        needed=("monitor=val/loss", "stopping_threshold=1000"),
        wrong=("monitor=val/los", "mode=nonsense"),
        effect=lambda end: end.epochs == 1,
    ),
    "EMAWeightAveraging": Subject(needed=("decay=0.5",), wrong=("decay=2",)),
    "GradientAccumulationScheduler": Subject(
        needed=("scheduling={1: 3}",), wrong=("scheduling={0: 0}",), effect=lambda end: end.steps == 4
    ),
    "LearningRateFinder": Subject(
        needed=("num_training_steps=25",),
        words=LONGER,
        wrong=("mode=nonsense", "num_training_steps=5", "attr_name=nonsense"),
        effect=lambda end: end.manifest["tuned"]["model.optimizer.lr"] != 0.001,
    ),
    "LearningRateMonitor": Subject(
        needed=("log_momentum=true",),
        wrong=("logging_interval=nonsense",),
        effect=lambda end: end.logged("lr-Adam") and end.logged("lr-Adam-momentum"),
    ),
    "ModelCheckpoint": Subject(
        needed=("monitor=val/acc", "mode=max", "save_top_k=2"),
        wrong=("monitor=val/los", "mode=nonsense", "save_top_k=-2", "every_n_epochs=-1"),
        effect=lambda end: {"best.ckpt", "last.ckpt"} < set(end.files("checkpoints/*")) and end.files("metrics.csv"),
    ),
    "ModelPruning": Subject(
        needed=("pruning_fn=l1_unstructured",),
        wrong=("pruning_fn=nonsense", "amount=1.5"),
        late=("amount",),
        effect=lambda end: zeros(end),
    ),
    "ModelSummary": Subject(effect=shows("Trainable params")),
    "OnExceptionCheckpoint": Subject(needed=("dirpath=mine",)),
    "ProgressBar": Subject(words=BAR),
    "RichModelSummary": Subject(effect=shows("Trainable params")),
    "RichProgressBar": Subject(words=BAR, wrong=("refresh_rate=nonsense",)),
    "SpikeDetection": Subject(wrong=("mode=nonsense",)),
    "StochasticWeightAveraging": Subject(needed=("swa_lrs=0.01", "swa_epoch_start=1")),
    "ThroughputMonitor": Subject(
        needed=("batch_size_fn=own.size",), effect=lambda end: end.logged("train/samples")[-1] == 192
    ),
    "Timer": Subject(needed=("duration=00:00:10:00",), wrong=("duration=nonsense", "interval=nonsense")),
    "TQDMProgressBar": Subject(words=BAR, wrong=("refresh_rate=nonsense",)),
}


def zeros(end: Attempt) -> bool:
    """Whether a good part of the weights of the last checkpoint is 0."""
    from cnnkit.callbacks import load_checkpoint

    assert end.run is not None
    weights = [w for name, w in load_checkpoint(end.run.last)["state_dict"].items() if name.endswith("weight")]
    return sum(int((w == 0).sum()) for w in weights) > 0.4 * sum(w.numel() for w in weights)
