from pathlib import Path

import pytest
import torch
from small_runs import SHORT, Cli
from torch.nn import functional as F

from cnnkit.runs import find

MY_FILE = '''
from torch.nn import functional as F
from cnnkit import ClassificationTask

class MyTask(ClassificationTask):
    """Focal loss (Lin et al. 2017).

    Args:
        gamma: how much less easy images count.
    """

    def __init__(self, *args, gamma: float = 2.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.gamma = gamma

    def compute_loss(self, batch):
        images, labels = batch
        logits = self(images)
        loss = F.cross_entropy(logits, labels, reduction="none")
        return ((1 - (-loss).exp()) ** self.gamma * loss).mean(), logits
'''
CONFIG = """
trainer: {max_epochs: 1, limit_train_batches: 1, enable_progress_bar: false}
model:
  init_args:
    net: {class_path: CNN, init_args: {channels: [4, 8], hidden_sizes: [16]}}
data: {class_path: FashionMNISTSample, init_args: {batch_size: 32}}
"""


@pytest.mark.parametrize("order", [1, -1], ids=["model first", "config first"])
def test_a_task_of_ones_own_runs_with_the_configuration_of_ours(cli: Cli, order: int) -> None:
    Path("my_file.py").write_text(MY_FILE)
    Path("c.yaml").write_text(CONFIG)
    model, config = ["--model", "my_file.MyTask"], ["--config", "c.yaml"]
    words = sum([model, config][::order], ["fit"])
    ended = cli(*words)
    assert ended.code == 0, ended.err
    run = find("runs/c")
    text = run.config.read_text()
    assert "class_path: my_file.MyTask" in text
    assert "gamma: 2.0" in text
    assert "channels:\n        - 4\n        - 8" in text


def test_its_loss_is_the_one_that_is_trained_and_its_arguments_are_checked(cli: Cli) -> None:
    Path("my_file.py").write_text(MY_FILE)
    small = ["--model=my_file.MyTask", "--model.net.channels=[4,8]", "--model.net.hidden_sizes=[16]", *SHORT]
    assert cli("fit", *small, "--trainer.limit_train_batches=1", "--model.gamma=3", "--name=mine").code == 0
    assert cli("test", "--run", "runs/mine").code == 0
    # At the start all classes are about as likely: the loss is that of p = 0.1.
    expected = (1 - 0.1) ** 3 * F.cross_entropy(torch.zeros(1, 10), torch.zeros(1, dtype=torch.long))
    assert find("runs/mine").manifest()["last"]["train/loss"] == pytest.approx(expected.item(), rel=0.05)
    ended = cli("fit", *small, "--model.gama=3")
    assert ended.code == 2
    assert ended.err == "error: model.gama: MyTask has no such argument; did you mean gamma?\n"


SLOW_STEP = """
from cnnkit import ClassificationTask

class SlowStep(ClassificationTask):
    def compute_loss(self, batch):
        print("the first step", flush=True)
        raise ValueError("a bug")
"""


def test_what_a_fit_uses_is_printed_before_its_first_step_which_may_take_minutes(cli: Cli) -> None:
    Path("slow.py").write_text(SLOW_STEP)
    ended = cli("fit", "--model=slow.SlowStep", "--model.net.channels=[4,8]", "--model.net.hidden_sizes=[16]", *SHORT)
    words = [line.split()[0] for line in ended.out.splitlines()]
    assert words == ["run", "net", "data", "limit_train_batches", "precision", "the"], ended.out + ended.err


NETS = """
import torch
from torch import nn


class ThreeLogits(nn.Module):
    def __init__(self, in_channels=1, num_classes=10, image_size=28):
        super().__init__()
        self.layer = nn.Linear(784, 3)

    def forward(self, images):
        return self.layer(images.flatten(1))
"""


def test_a_net_with_another_number_of_logits_is_refused_before_training(cli: Cli) -> None:
    Path("own_nets_of_three.py").write_text(NETS)
    ended = cli("fit", "--model.net=own_nets_of_three.ThreeLogits", "--trainer.fast_dev_run=true", "--watch=null")
    assert ended.code == 2
    assert "maps an image to (1, 3), and the data has 10 classes: end it with 10 logits" in ended.err
    assert not Path("runs").exists()
