"""What no annotation says of the trainer's arguments: further values, what they need, and their visible effects.

An argument without an entry is tried with what its annotation says, alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from compatibility.harness import Attempt

Effect = Callable[[str, Attempt], object]


@dataclass(frozen=True)
class Subject:
    """How one argument is tried.

    Args:
        values: beside those of the annotation.
        leave_out: those of the annotation that need another machine, or processes.
        words: what all its values need beside them.
        words_of: what single values need.
        effect: what must be true after a run that ended well, given the value.
    """

    values: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    words_of: dict[str, list[str]] = field(default_factory=dict)
    effect: Effect | None = None


def steps(value: str, end: Attempt) -> bool:
    """Epochs of as many steps as the limit says: batches, or a share of nine."""
    number = 1.0 if value == "null" else float(value)
    share = number < 1 or value in ("1.0", "null")
    return end.steps == 2 * int(9 * number if share else number)


def validations(expected: dict[str, int]) -> Effect:
    """As many rows of validation as each value means."""
    return lambda value, end: value not in expected or len(end.logged("val/loss")) == expected[value]


def says(words: dict[str, str]) -> Effect:
    """What is printed for each value."""
    return lambda value, end: value not in words or words[value] in end.out + end.err


def leaves_nothing(value: str, end: Attempt) -> bool:
    """No folder, and a line that says how it went."""
    if value in ("0", "false"):
        return end.run is not None
    return not any(end.folder.iterdir()) and "no error" in end.out


SUBJECTS: dict[str, Subject] = {
    "accelerator": Subject(values=("gpu", "tpu", "nonsense"), leave_out=("auto",)),
    "strategy": Subject(values=("ddp", "fsdp", "ddp_spawn", "deepspeed", "single_device", "nonsense")),
    "devices": Subject(values=("auto", "[0]"), leave_out=("2",)),  # test_two_devices has two
    "num_nodes": Subject(leave_out=("2",)),
    "precision": Subject(effect=lambda value, end: end.manifest["precision"]["value"] != ""),
    "logger": Subject(
        values=("own",),
        words_of={"own": ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine"]},
        effect=lambda value, end: (
            bool(end.files("metrics.csv")) is (value != "false")
            and bool(list(end.folder.glob("mine/**/metrics.csv"))) is (value == "own")
        ),
    ),
    "callbacks": Subject(values=("LearningRateMonitor", "[]", "nonsense"), leave_out=("null",)),
    "fast_dev_run": Subject(words=("--trainer.limit_train_batches=null",), effect=leaves_nothing),
    "barebones": Subject(
        words_of={"true": ["--trainer.log_every_n_steps=null", "--trainer.num_sanity_val_steps=null"]},
        effect=leaves_nothing,
    ),
    "max_epochs": Subject(
        leave_out=("null",),  # without an end of another kind it is refused; see max_steps
        words_of={"-1": ["--trainer.max_time=00:00:00:01"]},
        effect=lambda value, end: end.epochs == int(value) or (value == "-1" and end.epochs > 2),
    ),
    "min_epochs": Subject(
        words=(
            "--trainer.max_epochs=3",
            "--trainer.callbacks+=EarlyStopping",
            "--trainer.callbacks.monitor=val/acc",
            "--trainer.callbacks.stopping_threshold=0",
            "--trainer.callbacks.mode=max",
        ),
        effect=lambda value, end: end.epochs == max(1, int(value.replace("null", "1"))),
    ),
    "max_steps": Subject(
        words=("--trainer.max_epochs=null",),
        words_of={"-1": ["--trainer.max_epochs=2"]},
        effect=lambda value, end: end.steps == (6 if value == "-1" else int(value)),
    ),
    "min_steps": Subject(effect=lambda value, end: end.steps == 6),
    "max_time": Subject(values=("{hours: 1}", "00:00:00:00"), effect=lambda value, end: end.steps == 6),
    "limit_train_batches": Subject(
        values=("2.0",),
        words=("--data.batch_size=1000",),
        effect=steps,
    ),
    "limit_val_batches": Subject(
        values=("2.0",), effect=validations({"0": 0, "0.0": 0, "1": 2, "0.5": 2, "1.0": 2, "null": 2})
    ),
    "overfit_batches": Subject(
        words=("--data.batch_size=1000", "--trainer.limit_train_batches=null", "--trainer.limit_val_batches=null"),
        effect=lambda value, end: steps("null" if float(value) == 0 else value, end),
    ),
    "val_check_interval": Subject(
        values=("10", "1.0"),
        leave_out=("-1.0",),
        effect=validations({"1": 6, "2": 2, "0.5": 6, "1.0": 2, "null": 2}),
    ),
    "check_val_every_n_epoch": Subject(effect=validations({"1": 2, "2": 1})),
    "log_every_n_steps": Subject(
        effect=lambda value, end: len(end.logged("train/loss_step")) == {"0": 0, "1": 6, "2": 3, "null": 0}[value]
    ),
    "enable_checkpointing": Subject(
        effect=lambda value, end: (
            (bool(end.files("checkpoints/*.ckpt")) is (value != "false"))
            and ("cnnkit test --run" in end.out) is (value != "false")
        )
    ),
    "enable_progress_bar": Subject(effect=says({"true": "epoch 2/2", "null": "epoch 2/2"})),
    "enable_model_summary": Subject(effect=says({"true": "Trainable params"})),
    "accumulate_grad_batches": Subject(effect=lambda value, end: end.steps == {"1": 6, "2": 4}[value]),
    "gradient_clip_val": Subject(values=("1e-9",)),
    "gradient_clip_algorithm": Subject(
        values=("norm", "value", "nonsense"), words=("--trainer.gradient_clip_val=0.5",)
    ),
    "profiler": Subject(
        values=("simple", "advanced", "pytorch", "SimpleProfiler", "nonsense"),
        effect=says({"simple": "run_training_epoch", "advanced": "Profile stats for", "pytorch": "Self CPU"}),
    ),
    "plugins": Subject(values=("nonsense",)),
    "default_root_dir": Subject(
        values=("elsewhere",),
        effect=lambda value, end: value == "null" or bool(list(end.folder.glob(f"{value}/sweep/*/config.yaml"))),
    ),
}
