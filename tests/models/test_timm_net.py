"""timm's nets: that the data's images reach pretrained weights as these want them."""

import copy
import warnings

import pytest
import torch
from normalized_images import GRAY, RGB, normalized, of_data, pixels
from torch import nn
from torch.nn import functional as F

from cnnkit.models import TimmNet

# ---- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [64, (48, 80)], ids=str)
def test_weights_see_the_images_that_they_were_trained_on(trained, file, channels, size):
    values, images = GRAY if channels == 1 else RGB, pixels(2, channels, 32, 32)
    net = TimmNet(channels, 1000, 32, "resnet10t", weights=file, resize=size, **values).eval()

    config = trained.pretrained_cfg
    side = (size, size) if isinstance(size, int) else size
    enlarged = F.interpolate(images.expand(-1, 3, -1, -1), side, mode="bicubic")
    with torch.no_grad():
        expected = trained(normalized(enlarged, config["mean"], config["std"]))
        torch.testing.assert_close(net(of_data(images, values)), expected, rtol=1e-4, atol=1e-4)


def test_a_gray_image_is_the_rgb_image_with_three_equal_channels(file):
    gray = TimmNet(1, 10, 32, "resnet10t", weights=file, resize=64, **GRAY).eval()
    three = {name: value * 3 for name, value in GRAY.items()}
    rgb = TimmNet(3, 10, 32, "resnet10t", weights=file, resize=64, **three).eval()
    rgb.load_state_dict(gray.state_dict())
    images = of_data(pixels(2, 1, 32, 32), GRAY)
    with torch.no_grad():
        assert torch.equal(gray(images), rgb(images.expand(-1, 3, -1, -1)))


def test_without_mean_the_images_are_taken_as_the_weights_want_them(trained, file):
    net, images = TimmNet(3, 1000, 200, "resnet10t", weights=file).eval(), torch.randn(1, 3, 200, 200)
    assert net.resize is None  # larger than the 176 pixels that it was trained on
    with torch.no_grad():
        assert torch.equal(net(images), trained(images))


def test_without_weights_the_images_are_left_as_they_are():
    net, images = TimmNet(1, 10, 64, "test_resnet", **GRAY).eval(), torch.randn(2, 1, 64, 64)
    assert net.prepare(images) is images
    with torch.no_grad():
        assert torch.equal(net(images), net.net(images))


@pytest.mark.parametrize(
    ("image_size", "resize", "fed"),
    [
        (32, None, (176, 176)),
        (32, 96, (96, 96)),
        ((40, 300), None, (176, 176)),
        (180, None, (180, 180)),
        (32, 32, (32, 32)),
    ],
)
def test_sizes_that_weights_are_fed(file, image_size, resize, fed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = TimmNet(3, 10, image_size, "resnet10t", weights=file, resize=resize)
    assert net.prepare(torch.zeros(1, 3, *net.image_size)).shape == (1, 3, *fed)


def test_an_image_is_shrunk_without_aliasing():
    net = TimmNet(3, 10, 256, "test_resnet", resize=64)
    stripes = torch.arange(256).remainder(2).float().expand(1, 3, 256, 256)
    inside = net.prepare(stripes)[..., 4:-4]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5), atol=0.02, rtol=0)


def test_a_net_made_for_one_image_size_is_built_for_the_one_it_gets():
    assert TimmNet(3, 10, 32, "test_vit")(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(("size", "resize", "warned"), [(32, None, True), (64, None, False), (32, 128, False)])
def test_a_stem_that_throws_a_small_image_away_is_warned_about(size, resize, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TimmNet(3, 10, size, "test_resnet", resize=resize)
    assert [("1x1" in str(w.message), "resize: 128" in str(w.message)) for w in caught] == [(True, True)] * warned


# ---- the module ----------------------------------------------------------------------------------------------------


def test_published_parameter_count():
    # He et al.'s ResNet-18 has 11,689,512 parameters for 1000 classes; 990 of its classes have 512 weights and a bias.
    net = TimmNet(3, 10, 64, "resnet18")
    assert sum(p.numel() for p in net.parameters()) == 11_689_512 - 990 * 513


def test_state_copy_and_export(file):
    net = TimmNet(1, 10, 28, "resnet10t", weights=file, resize=64, **GRAY).eval()
    other = TimmNet(1, 10, 28, "resnet10t", weights=file, resize=64, image_mean=(0.5,), image_std=(0.5,)).eval()
    other.load_state_dict(net.state_dict())  # holds nothing of the data: that is the new data module's to say
    images = pixels(3, 1, 28, 28)
    with torch.no_grad():
        expected = net(of_data(images, GRAY))
        torch.testing.assert_close(other(normalized(images, [0.5], [0.5])), expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(copy.deepcopy(net)(of_data(images, GRAY)), expected)
        batch = {0: torch.export.Dim("batch")}
        exported = torch.export.export(net, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=(batch,)).module()
        torch.testing.assert_close(exported(of_data(images, GRAY)), expected)


def test_the_head_is_found_and_fits_the_features():
    net = TimmNet(3, 7, 64, "test_resnet")
    head = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    assert net.net.get_classifier() is head
    assert (head.in_features, head.out_features) == (net.num_features, 7)


def test_arguments_reach_timm():
    net = TimmNet(3, 10, 64, "test_resnet", drop_path=0.4, dropout=0.3, options={"global_pool": "max"})
    assert net.net.drop_rate == 0.3
    assert net.net.global_pool.pool_type == "max"
    assert max(getattr(module, "drop_prob", 0.0) or 0.0 for module in net.modules()) == pytest.approx(0.4)
