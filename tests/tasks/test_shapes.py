"""A net that does not take the images, or has layers that no optimizer gets, is refused before the first step."""

from pathlib import Path

import pytest
from small_runs import SMALL, Cli

RESIZE = "--data.augment=[{class_path: ProgressiveResize, init_args: {scale: 0.5, epochs: 1}}]"


def test_a_net_of_a_fixed_size_is_named(cli: Cli) -> None:
    ended = cli("fit", *SMALL, RESIZE)
    assert ended.code == 2
    assert "data.augment: CNN does not take the images of 14x14 pixels that ProgressiveResize makes" in ended.err


@pytest.mark.parametrize("command", ["fit", "show-data"])
def test_a_net_of_any_size_trains_and_the_images_are_shown(cli: Cli, command: str) -> None:
    words = [*SMALL, "--model.net.global_pool=true"] if command == "fit" else []
    ended = cli(command, *words, RESIZE)
    assert ended.code == 0, ended.err


LATE = """
from torch import nn


class Late(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes, self.head = num_classes, None
        self.first = nn.Conv2d(1, 2, 3)

    def forward(self, images):
        flat = self.first(images).flatten(1)
        if self.head is None:
            self.head = nn.Linear(flat.shape[1], self.num_classes)
        return self.head(flat)


class Lazy(nn.Sequential):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))
        self.num_classes = num_classes
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [("Late", "Late makes head.bias in its forward"), ("Lazy", "1.weight of LazyLinear has no size yet")],
)
def test_layers_that_the_optimizer_would_miss_are_named(cli: Cli, name: str, said: str) -> None:
    Path("late_nets.py").write_text(LATE)
    ended = cli("fit", "--data=FashionMNISTSample", "--trainer.max_epochs=1", f"--model.net=late_nets.{name}")
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) <= 3
    assert not list(Path("runs").rglob("*.ckpt"))
