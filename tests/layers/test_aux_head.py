import copy

import pytest
import torch
from torch import nn

from cnnkit import CNN, ResNet
from cnnkit.errors import UserError
from cnnkit.layers import AuxiliaryHead, AuxiliaryHeads


def net():
    torch.manual_seed(0)
    return CNN(3, 7, (24, 20), channels=(4, 8), padding=1, norm="batch", hidden_sizes=(16,), dropout=0.5)


def images(n=6):
    return torch.randn(n, 3, 24, 20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 5)])
def test_a_head_takes_maps_of_any_size(size):
    assert AuxiliaryHead(6, 4)(torch.randn(3, 6, *size)).shape == (3, 4)


def test_every_head_sees_what_its_module_gave():
    wrapped, batch = AuxiliaryHeads(net(), ["features.3", "features.7"]).eval(), images()
    output = wrapped.forward_aux(batch)
    assert list(output.aux_logits) == ["features.3", "features.7"]
    for name, head in zip(output.aux_logits, wrapped.heads.values(), strict=True):
        maps = wrapped.net.features[: int(name[-1]) + 1](batch)
        assert torch.equal(output.aux_logits[name], head(maps))
        assert output.aux_logits[name].shape == (6, 7)
    assert (wrapped.in_channels, wrapped.num_classes, wrapped.image_size) == (3, 7, (24, 20))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_heads_change_no_bit_of_the_logits(mode):
    plain, wrapped, batch = net(), AuxiliaryHeads(net(), ["features.3"]), images()
    logits = []
    for run in (plain, wrapped, lambda x: wrapped.forward_aux(x).logits, wrapped.strip()):
        getattr(plain, mode)(), getattr(wrapped, mode)()
        torch.manual_seed(2)  # for the dropout
        logits.append(run(batch))
    assert all(torch.equal(other, logits[0]) for other in logits[1:])
    assert type(wrapped.strip()) is CNN


def test_hanging_heads_leaves_no_trace_in_the_net():
    one, other = net(), net()
    one.features[1].eval()  # a frozen batch norm stays so
    modes, state = [m.training for m in one.modules()], copy.deepcopy(one.state_dict())
    torch.manual_seed(5)
    wrapped = AuxiliaryHeads(one, ["features.3"])
    assert [m.training for m in one.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in one.state_dict().items())
    wrapped.forward_aux(images())
    assert not any(m._forward_hooks for m in one.modules())
    assert one.state_dict().keys() == other.state_dict().keys()


def test_a_net_that_draws_in_eval_takes_nothing_from_the_generator():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x + torch.rand(())).mean((2, 3))

    torch.manual_seed(5)
    Noisy(), AuxiliaryHead(4, 4)
    expected = torch.random.get_rng_state()
    torch.manual_seed(5)
    AuxiliaryHeads(Noisy(), ["conv"])
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_a_head_after_a_layer_that_is_changed_in_place():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
            self.fc = nn.Linear(4, 5)

        def forward(self, x):
            return self.fc(self.relu(self.norm(self.conv(x))).mean((2, 3)))

    output = (wrapped := AuxiliaryHeads(InPlace(), ["norm"])).forward_aux(images())
    (output.logits.sum() + output.aux_logits["norm"].square().sum()).backward()
    assert all(p.grad is not None for p in wrapped.parameters())


def test_it_is_copied_saved_and_loaded():
    wrapped = AuxiliaryHeads(net(), ["features.3"]).eval()
    clone = copy.deepcopy(wrapped)
    with torch.no_grad():
        clone.net.features[0].weight.zero_()
    batch = images()
    assert not torch.equal(
        clone.forward_aux(batch).aux_logits["features.3"], wrapped.forward_aux(batch).aux_logits["features.3"]
    )
    clone.load_state_dict(wrapped.state_dict())
    assert torch.equal(
        clone.forward_aux(batch).aux_logits["features.3"], wrapped.forward_aux(batch).aux_logits["features.3"]
    )
    net().load_state_dict(wrapped.strip().state_dict())


def test_forward_can_be_exported():
    wrapped, batch = AuxiliaryHeads(net(), ["features.3"]).eval(), images()
    exported = torch.export.export(wrapped, (batch,)).module()
    assert torch.equal(exported(batch), wrapped(batch))


def test_a_net_that_was_compiled_in_place_keeps_its_heads():
    wrapped, batch = AuxiliaryHeads(net(), ["features.3"]).eval(), images()
    expected = wrapped.forward_aux(batch)
    wrapped.net.compile(backend="eager")
    torch.testing.assert_close(wrapped(batch), expected.logits)  # compiled without the hooks
    torch.testing.assert_close(wrapped.forward_aux(batch).aux_logits, expected.aux_logits)


def test_a_net_without_our_attributes_is_tried_out_by_its_first_convolution():
    plain = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    assert AuxiliaryHeads(plain, ["1"]).forward_aux(torch.randn(5, 2, 17, 17)).aux_logits["1"].shape == (5, 3)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (["layer4"], "ResNet has no module 'layer4'; there are layer"),
        (["nowhere at all"], "there are conv1, bn1, layer1"),
        (["layer1", "layer1"], "each once"),
        ([], "name one or more modules"),
        (["linear"], r"after: linear of ResNet gives \(1, 10\); a head needs maps"),
    ],
)
def test_impossible_places_are_named_with_the_remedy(after, message):
    with pytest.raises(UserError, match=message):
        AuxiliaryHeads(ResNet(depth=8), after)


def test_a_module_that_is_not_run_and_a_net_that_takes_other_images():
    unused = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 30 * 30, 3))
    unused.image_size = 20
    with pytest.raises(UserError, match=r"does not take images of 1x20x20(.|\n)*attributes in_channels and image_size"):
        AuxiliaryHeads(unused, ["0"])
    model = ResNet(depth=8)
    model.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(UserError, match="spare of ResNet is not run"):
        AuxiliaryHeads(model, ["spare"])
