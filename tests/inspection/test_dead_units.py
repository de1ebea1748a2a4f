import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from cnnkit.inspection.dead_units import dead_relus
from cnnkit.inspection.feature_maps import penultimate
from cnnkit.models import ResNet


def test_a_relu_in_the_nets_code_counts_as_one_that_is_a_module() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(1, 4, 1), nn.ReLU(inplace=True)
            self.conv.weight.data.copy_(torch.tensor([1.0, -1, -1, -1]).view(4, 1, 1, 1))
            self.conv.bias.data.zero_()

        def forward(self, images: Tensor) -> Tensor:
            maps = F.relu(self.conv(images))  # three of four are dead
            return F.relu(self.relu(self.conv(images)) - 100 + 0 * maps)  # all are

    found = dead_relus(Both().train(), torch.rand(2, 1, 5, 5))
    assert found == {"net": 0.75, "relu": 0.75, "net (2)": 1.0}


def test_one_image_that_wakes_a_unit_keeps_it_alive() -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    net[0].weight.data.fill_(1.0)
    assert dead_relus(net, torch.tensor([[-1.0], [-2.0]])) == {"1": 1.0}
    assert dead_relus(net, torch.tensor([[-1.0], [2.0]])) == {"1": 0.0}


def test_every_relu_of_a_residual_net_is_seen_and_the_net_is_left_as_it_was() -> None:
    net = ResNet(depth=20, in_channels=1, num_classes=3, image_size=32).train()
    statistics = {name: value.clone() for name, value in net.state_dict().items()}
    assert len(dead_relus(net, torch.rand(2, 1, 32, 32))) == 19
    assert net.training
    assert all(torch.equal(value, statistics[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_what_a_resnet_s_last_layer_is_given_are_its_pooled_maps() -> None:
    net = resnet18(num_classes=5).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.fc(penultimate(net, images)), net(images))
    without_dense = nn.Sequential(
        nn.Conv2d(3, 7, 3), nn.ReLU(), nn.Conv2d(7, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert penultimate(without_dense, images).shape == (2, 7)
