"""``summary``: the table, its figures as JSON, frozen parts and heads, and what it must not need."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_runs import Cli, CommandResult

from cnnkit import CIFAR10, FashionMNISTSample
from cnnkit.runs import RunFolder


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: FashionMNISTSample) -> None:
        raise AssertionError("the data set is not there")

    monkeypatch.setattr(FashionMNISTSample, "open", gone)


def figures(ended: CommandResult) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_the_published_table(cli: Cli) -> None:
    ended = cli("summary")
    assert ended.code == 0, ended.err
    rows = [" ".join(line.split()) for line in ended.out.splitlines() if line.startswith(("  features", "  head"))]
    assert rows == [
        "features.0 Conv2d [64, 26, 26] 640 389,376 3 1 0.33",
        "features.1 MaxPool2d [64, 13, 13] 0 4 2 0.08",
        "features.2 ReLU [64, 13, 13] 0 4 2 0.08",
        "features.3 Conv2d [128, 11, 11] 73,856 8,921,088 8 2 0.12",
        "features.4 MaxPool2d [128, 5, 5] 0 10 4 0.02",
        "features.5 ReLU [128, 5, 5] 0 10 4 0.02",
        "head.0 Flatten [3200] 0 10 0.02",
        "head.1 Linear [200] 640,200 640,000 all 0.00",
        "head.2 ReLU [200] 0 all 0.00",
        "head.3 Linear [10] 2,010 2,000 all 0.00",
    ]
    totals = dict(line.split(maxsplit=1) for line in ended.out.splitlines()[-6:])
    assert totals["parameters"] == "716,706 (716,706 trainable, 0 frozen)"
    assert totals["MACs"] == "9,952,464"
    assert (totals["forward/backward"], totals["total"]) == ("0.69 MB", "3.43 MB")
    assert "parameter memory  2.73 MB" in ended.out
    assert ended.err == ""


def test_each_row_of_the_published_table_is_derived(cli: Cli) -> None:
    why = figures(cli("summary", "--explain", "--json"))["why"]
    assert why[:-1] == [
        "features.0 Conv2d: (28 + 2*0 - 1*(3 - 1) - 1) / 1 + 1, rounded down, = 26; 64 kernels of 1x3x3 and 64 biases "
        "give 64 maps: 64*1*3*3 + 64 = 640 parameters; each weight is used at 26*26 positions: 576*676 = 389,376 MACs",
        "features.1 MaxPool2d: (26 + 2*0 - 1*(2 - 1) - 1) / 2 + 1, rounded down, = 13; each of the 64 maps separately; "
        "0 parameters",
        "features.2 ReLU: works on each value, so the shape stays 64x13x13; 0 parameters",
        "features.3 Conv2d: (13 + 2*0 - 1*(3 - 1) - 1) / 1 + 1, rounded down, = 11; 128 kernels of 64x3x3 and 128 "
        "biases give 128 maps: 128*64*3*3 + 128 = 73,856 parameters; each weight is used at 11*11 positions: "
        "73,728*121 = 8,921,088 MACs",
        "features.4 MaxPool2d: (11 + 2*0 - 1*(2 - 1) - 1) / 2 + 1, rounded down, = 5; each of the 128 maps separately; "
        "0 parameters",
        "features.5 ReLU: works on each value, so the shape stays 128x5x5; 0 parameters",
        "head.0 Flatten: 128*5*5 = 3,200 values in one vector; 0 parameters",
        "head.1 Linear: 200 units, each with 3200 weights and a bias: 3200*200 + 200 = 640,200 parameters",
        "head.2 ReLU: works on each value, so the shape stays 200; 0 parameters",
        "head.3 Linear: 10 units, each with 200 weights and a bias: 200*10 + 10 = 2,010 parameters",
    ]
    ended = cli("summary", "--model.net=MLP", "--explain")
    assert "has no such row: 3.05 MB in total instead of 3.06" in ended.out


@pytest.mark.parametrize("net", ["ResNet", "NetworkInNetwork", "AlexNet", "GoogLeNet"])
def test_every_row_that_is_derived_has_the_figures_of_its_table(cli: Cli, net: str) -> None:
    found = figures(cli("summary", "--explain", "--json", f"--model.net={net}"))
    assert len(found["why"]) >= len(found["layers"])
    for layer, why in zip(found["layers"], found["why"], strict=False):
        assert why.startswith(f"{layer['name']} {layer['type']}: ")
        assert f" {layer['parameters']:,}" in why
        if layer["type"].endswith(("Conv2d", "Pool2d")) and layer["type"] != "AdaptiveAvgPool2d":
            assert f"= {layer['output'][1]};" in why or "keeps" in why


def test_a_whitened_layer_is_frozen(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "open", FashionMNISTSample.open)
    words = ("summary", "--config", "cifar10_speed94")
    whitened, plain = (figures(cli(*words, "--json", *more)) for more in ([], ["--trainer.callbacks=null"]))
    first, *others = whitened["layers"]
    assert (first["name"], first["parameters"], first["frozen"]) == ("first", 24 * 12 + 24, 24 * 12)
    assert plain["layers"] == [{**first, "frozen": 0}, *others]
    assert whitened["frozen"] == plain["frozen"] + 288
    shown = cli(*words).out
    assert "312 (288 frozen)" in shown
    assert "first: Whitening sets its filters and freezes them; its bias trains for 3 epochs\n" in shown


def test_what_the_padding_adds_changes_no_field(cli: Cli) -> None:
    words = ("summary", "--model.net.padding=same", "--model.net.pool_dilation=2", "--model.net.bias=false", "--json")
    zeros, *others = (figures(cli(*words, f"--model.net.padding_mode={m}")) for m in ("zeros", "circular", "reflect"))
    assert [layer["receptive_field"] for layer in zeros["layers"][:6]] == [[n, n] for n in (3, 5, 5, 9, 13, 13)]
    assert [layer["output"] for layer in zeros["layers"][:2]] == [[64, 28, 28], [64, 13, 13]]
    assert zeros["layers"][0]["parameters"] == 576
    assert others == [zeros, zeros]


def test_a_configuration_and_words_that_change_it(cli: Cli) -> None:
    Path("mine.yaml").write_text("model: {init_args: {net: {class_path: ResNet}}}\ndata: {class_path: CIFAR10}\n")
    found = figures(cli("summary", "--config", "mine.yaml", "--json", "--model.net.depth=8", "--data.batch_size=3"))
    assert (found["image"], found["parameters"], found["layers"][-3]["receptive_field"]) == (
        [3, 32, 32],
        75_290,
        [25, 25],
    )
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert found["layers"][-1]["receptive_field"] == ["all", "all"]
    wide = figures(cli("summary", "--config=mine.yaml", "--json", "--image_size", "32x64", "--depth", "1"))
    assert [layer["name"] for layer in wide["layers"]] == ["conv1", "bn1", "layer1", "layer2", "layer3", "linear"]
    assert (wide["image"], wide["layers"][-2]["output"]) == ([3, 32, 64], [64, 8, 16])


def test_padding_from_a_file_and_from_the_command_line(cli: Cli) -> None:
    net = "{class_path: CNN, init_args: {padding: same, padding_mode: reflect, kernel_size: 4, bias: false}}"
    Path("mine.yaml").write_text(f"model: {{init_args: {{net: {net}}}}}\n")
    shapes = [
        figures(cli("summary", "--config=mine.yaml", "--json", *words))["layers"][0]["output"]
        for words in ([], ["--model.net.padding=valid"], ["--model.net.padding=3"])
    ]
    assert shapes == [[64, 28, 28], [64, 25, 25], [64, 31, 31]]


def test_a_run_needs_its_checkpoint_alone(cli: Cli, trained_once: RunFolder) -> None:
    found = figures(cli("summary", "--run", str(trained_once), "--json"))
    assert (found["image"], found["layers"][0]["output"]) == ([1, 28, 28], [4, 26, 26])
    ended = cli("summary", "--run", str(trained_once), "--model.net.dropout=0")
    assert (ended.code, ended.err) == (
        2,
        "error: --model.net.dropout=0: the net of a run is what it is; give a --config FILE to change it\n",
    )


@pytest.mark.parametrize(
    ("mode", "trains"), [("frozen", 0), ("embeddings", 0), ("gradual", 73_856), ("finetune", 74_496)]
)
def test_what_does_not_train_is_frozen(cli: Cli, mode: str, trains: int) -> None:
    words = ["--model=TransferTask", "--model.net=CNN", "--model.net.hidden_sizes=[]", f"--model.mode={mode}"]
    ended = cli("summary", *words, *(["--model.unfreeze_at=[0,3]"] if mode == "gradual" else []))
    assert ended.code == 0, ended.err
    assert f"106,506 ({32_010 + trains:,} trainable, {74_496 - trains:,} frozen)" in ended.out
    rows = {line.split()[0]: line for line in ended.out.splitlines() if line.startswith("  features")}
    assert ("640 frozen" in rows["features.0"]) == (mode != "finetune")
    assert ("73,856 frozen" in rows["features.3"]) == (mode in ("frozen", "embeddings"))
    assert ("released at the epochs 0, 3" in ended.out) == (mode == "gradual")


def test_heads_are_shown_with_the_task_that_trains_them(cli: Cli) -> None:
    own = figures(cli("summary", "--model=AuxiliaryLossTask", "--model.net=GoogLeNet", "--json"))
    hung = ["--model.net=ResNet", "--model.net.depth=8", "--model.after=[layer1,layer2]"]
    theirs = figures(cli("summary", "--model=AuxiliaryLossTask", *hung, "--json"))
    plain = cli("summary", "--model.net=GoogLeNet")
    assert {layer["name"].split(".")[0] for layer in own["layers"]} >= {"stem", "aux1", "aux2"}
    assert own["parameters"] == sum(layer["parameters"] for layer in own["layers"])
    names = [layer["name"] for layer in theirs["layers"]]
    assert ("layer1.0.conv1" in names, "heads.layer2.3" in names) == (True, True)
    assert theirs["parameters"] == sum(layer["parameters"] for layer in theirs["layers"])
    assert "19,732 parameters are in no row" in plain.out


def test_a_net_that_is_to_be_compiled_is_counted_by_its_python_code(cli: Cli) -> None:
    hung = ["--model=AuxiliaryLossTask", "--model.net=CNN", "--model.after=[features.2]", "--model.compile_net=true"]
    found = figures(cli("summary", *hung, "--json", "--depth=1"))
    assert [layer["name"] for layer in found["layers"]] == ["features", "head", "heads.features_2"]
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"])


def test_a_net_of_ones_own_and_one_of_timm(cli: Cli) -> None:
    Path("my_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, num_classes: int = 10) -> None:\n"
        "        layers = nn.Conv2d(1, 3, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes)\n"
        "        super().__init__(*layers)\n"
    )
    own = figures(cli("summary", "--model.net=my_net.Net", "--json"))
    assert [layer["parameters"] for layer in own["layers"]] == [78, 0, 0, 40]
    words = ["--model.net=TimmNet", "--model.net.name=tf_efficientnet_lite0", "--model.net.pretrained=true"]
    timm = figures(cli("summary", *words, "--json"))
    assert timm["layers"][0]["output"] == [32, 112, 112]


def test_the_effective_field_as_a_picture(cli: Cli) -> None:
    words = ["--model.net=ResNet", "--model.net.depth=8", "--effective=field.png"]
    ended = cli("summary", *words, "--layer=layer1")
    assert ended.code == 0, ended.err
    assert "effective field   field.png" in ended.out
    assert Path("field.png").read_bytes().startswith(b"\x89PNG")
    shutil.move("field.png", "first.png")
    assert figures(cli("summary", *words, "--json"))["parameters"] == 75_002
    assert Path("field.png").read_bytes() != Path("first.png").read_bytes()


MISTAKES = [
    ("--depth 0", "error: --depth: expected a whole number from 1 on, got '0'"),
    ("--image_size big", "error: --image_size: expected pixels, such as 64 or 48x64, got 'big'"),
    (
        "--image_size 20",
        "error: CNN does not take images of 1x20x20: head.1 (Linear) was built for 3200",
    ),
    (
        "--model.net MLP --image_size 32",
        "error: MLP does not take images of 1x32x32: hidden.0 (Linear) was built",
    ),
    ("--image_size 1", "error: CNN does not take images of 1x1x1 (at features.0, Conv2d: "),
    ("--model.net.padding full", "error: model.net.padding: expected one of int, same, valid, got 'full'"),
    (
        "--model.net.padding same --model.net.stride 2",
        "error: model.net.padding 'same' keeps the size at stride 1, and",
    ),
    (
        "--model.net.padding_mode mirror",
        "error: model.net.padding_mode: expected one of zeros, reflect, replicate, circular",
    ),
    ("--layer features.0", "error: --layer names the layer that --effective draws: give both"),
    ("--effective a.png --layer nose", "error: CNN runs no layer 'nose'; those that give one: features.0, "),
    ("--effective a.png --model.net MLP", "error: MLP has no layer that gives a map"),
    ("--effective a.jiff", "error: a.jiff: cannot be written"),
    ("--effective no/a.png", "error: no/a.png: cannot be written"),
    ("--dept 1", "error: --dept: unknown word; did you mean --depth?"),
    ("--config none.yaml", "error: none.yaml: no such configuration file"),
    ("--run nowhere", "error: nowhere: no such run folder"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_told_in_a_line(cli: Cli, words: str, expected: str) -> None:
    ended = cli("summary", *words.split())
    assert ended.code == 2
    assert ended.err.startswith(expected), ended.err
    assert len(ended.err.splitlines()) <= 3
    assert not list(Path().iterdir())
