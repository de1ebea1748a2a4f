"""``check`` of image files and pretrained weights: classes, normalization, sizes."""

from pathlib import Path

from checked_words import FOLDER, SMALL, found
from made_folders import fill
from small_runs import Cli

from cnnkit.cli.commands.check import find_all
from cnnkit.runs import RunFolder


def test_classes_of_a_folder_are_counted(cli: Cli) -> None:
    fill(Path("photos/train"), {"blue": 4, "green": 60, "red": 60})
    fill(Path("photos/val"), {"green": 3, "red": 3}, seed=1)
    fill(Path("photos/test"), {"blue": 3, "green": 3, "red": 3}, seed=2)
    net = ["--model.net.channels=[4]", "--model.net.global_pool=true", "--data.batch_size=8", "--data.val_size=0.1"]
    reasons = {finding.reason for finding in find_all([*net, *FOLDER])}
    assert reasons == {
        "no validation image of blue: the choice of the best epoch does not see them",
        "fewer than 5 training images of blue (4)",
        "green has 60 training images, blue, the smallest class, 4: val/acc says little of it",
    }
    reasons = {finding.reason for finding in find_all([*net, *FOLDER, "--monitor=val/f1_macro"])}
    assert not any("says little" in reason for reason in reasons), "the remedy ends the warning"


def test_pretrained_weights_want_their_normalization(cli: Cli) -> None:
    fill(Path("photos"), {"blue": 30, "green": 30})
    Path("my_timm.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, num_classes: int = 2, pretrained: bool = False) -> None:\n"
        "        super().__init__()\n        self.pretrained_cfg = {'mean': (0.5,) * 3, 'std': (0.5,) * 3}\n"
        "        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(3, num_classes)\n\n"
        "    def forward(self, images):\n        return self.head(self.pool(images).flatten(1))\n"
    )
    words = [*FOLDER, "--data.batch_size=8", "--model.net=my_timm.Net"]
    assert found(*words) == {}
    assert list(found(*words, "--model.net.pretrained=true")) == ["data.mean, data.std"]
    half = ["--data.mean=[0.5,0.5,0.5]", "--data.std=[0.5,0.5,0.5]"]
    assert found(*words, *half, "--model.net.pretrained=true") == {}


def test_weights_of_a_run_want_the_normalization_of_that_run(cli: Cli, trained_once: RunFolder) -> None:
    fill(Path("photos"), {"blue": 30, "green": 30})
    weights = [*SMALL, "--data.batch_size=8", "--weights", str(trained_once.path)]
    assert found(*weights) == {}
    gray = ["--data.image_size=28", "--data.channels=1"]
    assert list(found(*weights, *FOLDER, *gray)) == ["data.mean, data.std"]
    assert found(*weights, *FOLDER, *gray, "--data.mean=[0.286]", "--data.std=[0.353]") == {}


def test_an_image_smaller_than_the_stride_is_named(cli: Cli) -> None:
    fill(Path("photos"), {"blue": 30, "green": 30})
    words = [*FOLDER, "--data.batch_size=8", "--model.net=TimmNet", "--model.net.name=resnet18"]
    assert found(*words, "--data.image_size=64") == {}
    reasons = [finding.reason for finding in find_all([*words, "--data.image_size=24"])]
    assert [reason.partition(",")[0] for reason in reasons] == [
        "the first layer and its pooling shrink an image of 24 pixels to 6",
        "has a total stride of 32 pixels",
    ]
