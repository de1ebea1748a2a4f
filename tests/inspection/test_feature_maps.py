"""Feature maps are the modules' outputs, and stages are where one would look for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnnkit import models
from cnnkit.errors import UserError
from cnnkit.inspection.feature_maps import feature_maps, stages


def images(size: int = 32) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def torchvision_net(name: str) -> nn.Module:
    import torchvision

    net: nn.Module = getattr(torchvision.models, name)()
    return net


def timm_net(name: str) -> nn.Module:
    import timm

    net: nn.Module = timm.create_model(name)
    return net


class Wrapped(nn.Module):
    """A backbone that ends in a vector, as many write it."""

    def __init__(self, in_place: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU(in_place), nn.MaxPool2d(2), nn.Dropout(0.5, in_place)]
        self.backbone = nn.Sequential(*layers, nn.Conv2d(4, 6, 3), nn.ReLU(in_place), nn.Flatten())
        self.head = nn.Linear(6 * 13 * 13, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits


STAGES: list[tuple[str, Callable[[], nn.Module], int, list[str]]] = [
    ("CNN", lambda: models.CNN(3, 10, 32), 32, ["features.0", "features.2", "features.3", "features.5"]),
    ("AlexNet", lambda: models.AlexNet(3, 10, 32), 32, ["conv1", "conv2", "conv5", "pool (3)"]),
    ("ResNet", lambda: models.ResNet(3, 10, 32), 32, ["conv1", "layer1", "layer2", "layer3"]),
    ("GoogLeNet", lambda: models.GoogLeNet(3, 10, 32), 32, ["stem.0", "stage1", "stage2", "stage3"]),
    ("VGG", lambda: models.VGG(width=0.1), 32, ["features.0", "features.1", "features.2", "features.4.1"]),
    ("wrapped", Wrapped, 32, ["backbone.0", "backbone.1", "backbone.3", "backbone.5"]),
    (
        "densenet121",
        lambda: torchvision_net("densenet121"),
        64,
        ["conv0", "relu0", "denseblock1", "denseblock2", "denseblock3", "norm5"],
    ),
    (
        "efficientnet_lite0",
        lambda: timm_net("tf_efficientnet_lite0"),
        64,
        ["conv_stem", "blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2"],
    ),
]


@pytest.mark.parametrize(("make", "size", "expected"), [row[1:] for row in STAGES], ids=[row[0] for row in STAGES])
def test_stages_end_where_the_size_changes(make: Callable[[], nn.Module], size: int, expected: list[str]) -> None:
    net, batch = make(), images(size)
    found = feature_maps(net, batch)
    assert [name.removeprefix("features.") if size == 64 else name for name in found] == expected
    sizes = [tuple(maps.shape[-2:]) for maps in found.values()]
    assert len(set(sizes)) >= len(sizes) - 1  # each once, but for the first part's
    assert all(maps.shape[0] == 2 for maps in found.values())
    assert stages(net, batch) == list(found)


def test_maps_are_the_outputs_before_anything_changes_them_in_place() -> None:
    net, plain, batch = Wrapped(), Wrapped(in_place=False).eval(), images()
    found = feature_maps(net.train(), batch, ["backbone.4", "backbone.0"])
    assert list(found) == ["backbone.0", "backbone.4"]  # in the order in which they are computed
    torch.testing.assert_close(found["backbone.0"], plain.backbone[0](batch).detach())
    torch.testing.assert_close(found["backbone.4"], plain.backbone[:5](batch).detach())
    assert found["backbone.4"].min() < 0  # from before the ReLU


def test_the_net_is_left_as_it_was() -> None:
    net = models.ResNet(3, 10, 32).train()
    net.layer1.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    maps = feature_maps(net, images())
    assert not any(each.requires_grad for each in maps.values())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert net.training
    assert not net.layer1.training
    assert net.layer2[0].training
    assert not any(part._forward_hooks for part in net.modules())


def test_hooks_go_when_the_net_fails() -> None:
    net = models.CNN(3, 10, 32)
    with pytest.raises(RuntimeError):
        feature_maps(net, torch.zeros(1, 1, 32, 32))
    assert not any(part._forward_hooks for part in net.modules())


@pytest.mark.parametrize("part", ["", "features"])
def test_a_compiled_net_shows_its_maps(part: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("compiled code was run, which sees no hooks")

    net, batch = models.CNN(3, 10, 32), images()
    expected = feature_maps(net, batch)
    net.get_submodule(part).compile(backend=refuse)
    torch.testing.assert_close(feature_maps(net, batch), expected)


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: feature_maps(models.MLP(3, 10, 32), images()), "MLP has no feature maps"),
    (lambda: feature_maps(models.CNN(3, 10, 32), images(), ["feature.0"]), "no module 'feature.0'; there are features"),
    (lambda: feature_maps(models.CNN(3, 10, 32), images(), ["head"]), "head of CNN gives no maps"),
    (lambda: feature_maps(models.GoogLeNet(3, 10, 32), images(), ["aux1"]), "aux1 of GoogLeNet gives no maps"),
]


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_mistakes_are_told_in_a_sentence(mistake: Callable[[], object], expected: str) -> None:
    with pytest.raises(UserError) as told:
        mistake()
    assert expected in str(told.value)
