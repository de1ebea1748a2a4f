"""Residual blocks against the papers' formulas, and against torchvision's where it has them."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet as torchvision_resnet

from cnnkit.layers import BasicBlock, Bottleneck, PreActBlock
from cnnkit.layers.residual import PadShortcut, make_shortcut

BLOCKS = [BasicBlock, Bottleneck, PreActBlock]
every_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)


def maps(channels: int, size: int = 8) -> torch.Tensor:
    return torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(0))


@every_block
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_stride_halves_the_maps_and_a_block_expands_the_channels(block, shortcut):
    out = block(8, 16, stride=2, shortcut=shortcut)(maps(8))
    assert out.shape == (3, 16 * block.expansion, 4, 4)


@pytest.mark.parametrize(("ours", "theirs"), [(BasicBlock, "BasicBlock"), (Bottleneck, "Bottleneck")])
def test_equal_to_torchvision_with_the_same_weights(ours, theirs):
    channels = 16 * ours.expansion
    project = nn.Sequential(nn.Conv2d(8, channels, 1, 2, bias=False), nn.BatchNorm2d(channels))
    reference = getattr(torchvision_resnet, theirs)(8, 16, 2, project)
    block = ours(8, 16, 2)
    state = {name.replace("downsample", "shortcut"): value for name, value in reference.state_dict().items()}
    block.load_state_dict(state)
    torch.testing.assert_close(block(maps(8)), reference(maps(8)))


def test_the_preactivated_block_is_the_sum_of_its_parts():
    block = PreActBlock(8, 8).eval()
    with torch.no_grad():
        branch = block.conv2(block.bn2(block.conv1(block.bn1(maps(8)).relu())).relu())
        torch.testing.assert_close(block(maps(8)), maps(8) + branch)


def test_the_preactivated_projection_takes_activated_maps():
    block = PreActBlock(8, 16, stride=2).eval()
    with torch.no_grad():
        block.conv2.weight.zero_()
        torch.testing.assert_close(block(maps(8)), block.shortcut(block.bn1(maps(8)).relu()))


def test_shortcut_a_keeps_every_second_pixel_and_adds_empty_channels():
    out = PadShortcut(16, 2)(maps(8))
    torch.testing.assert_close(out[:, 4:12], maps(8)[:, :, ::2, ::2])
    assert not out[:, :4].any()
    assert not out[:, 12:].any()


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_where_nothing_changes_the_shortcut_is_the_identity(shortcut):
    assert torch.equal(make_shortcut(shortcut, 8, 8, 1)(maps(8)), maps(8))


@every_block
def test_a_branch_of_zeros_leaves_the_identity_and_a_plain_block_nothing(block):
    channels = 8 * block.expansion
    for residual in (True, False):
        net = block(channels, 8, residual=residual).eval()
        last = [m for m in net.modules() if isinstance(m, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            out = net(maps(channels).relu())
        torch.testing.assert_close(out, maps(channels).relu() if residual else torch.zeros_like(out))


@every_block
def test_drop_path_leaves_whole_branches_out_in_training_only(block):
    channels = 8 * block.expansion
    torch.manual_seed(0)
    net = block(channels, 8, drop_path=0.5)
    images = maps(channels).repeat(20, 1, 1, 1).relu()
    with torch.no_grad():
        dropped = (net.train()(images) == images).flatten(1).all(1)
        assert 10 < dropped.sum() < 50
        assert not (net.eval()(images) == images).flatten(1).all(1).any()


@every_block
def test_a_block_without_norm_has_convolutions_with_biases_alone(block):
    net = block(8, 16, stride=2, norm="none", activation="tanh")
    assert {type(m) for m in net.modules() if list(m.parameters(recurse=False))} == {nn.Conv2d}
    assert all(m.bias is not None for name, m in net.named_modules() if name.startswith("conv"))
    assert net(maps(8)).shape == (3, 16 * block.expansion, 4, 4)


def test_a_basic_block_without_norm_is_the_sum_of_its_parts():
    block = BasicBlock(8, 8, norm="none", activation="sigmoid")
    with torch.no_grad():
        expected = (maps(8) + block.conv2(block.conv1(maps(8)).sigmoid())).sigmoid()
        torch.testing.assert_close(block(maps(8)), expected)
