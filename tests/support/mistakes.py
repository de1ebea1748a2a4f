"""One small configuration, and what every refusal of it has in common."""

from pathlib import Path

from small_runs import CommandResult

CONFIG = """\
seed_everything: 0
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, enable_progress_bar: false}
model:
  class_path: ClassificationTask
  init_args:
    net: {class_path: CNN, init_args: {channels: [2, 2], hidden_sizes: [], dropout: 0.1, kernel_size: 3}}
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.001}}
    scheduler: {class_path: WarmupCosineLR}
    label_smoothing: 0.1
data: {class_path: FashionMNISTSample, init_args: {batch_size: 64, eval_batch_size: 100, num_workers: 0, augment: [
  {class_path: RandomCrop, init_args: {padding: 1}}, {class_path: Cutout, init_args: {size: 4}}]}}
"""


def assert_told(ended: CommandResult, expected: str) -> None:
    """Exit code 2, one to three lines that begin with ``error:``, and no run folder left behind."""
    errors = [line for line in ended.err.splitlines() if not line.startswith(("note: ", "Seed set"))]
    assert ended.code == 2, ended.err
    assert 1 <= len(errors) <= 3
    assert errors[0].startswith("error: ")
    assert expected in ended.err
    assert not Path("runs").exists() or "logged as" in expected  # which is known after the first epoch
