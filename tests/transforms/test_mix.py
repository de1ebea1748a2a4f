import pytest
import torch

from cnnkit.errors import UserError
from cnnkit.transforms import CutMix, MixUp

MIXES = [MixUp, CutMix]
BATCHES = [1, 2, 5]


def constant_images(batch):
    """Image i is i everywhere, so that a mixed image tells its parts."""
    return torch.arange(batch).float().view(-1, 1, 1, 1).expand(batch, 2, 28, 20).contiguous()


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("soft", [False, True])
def test_labels_stay_probabilities(mix, batch, soft):
    labels = torch.randn(batch, 7).softmax(1) if soft else torch.randint(0, 7, (batch,))
    images = torch.rand(batch, 3, 28, 20)
    before = images.clone()
    for number in range(20):
        mixed, mixed_labels = mix()(images, labels, 7, seed=0, epoch=0, number=number)
        assert mixed.shape == images.shape
        assert mixed_labels.shape == (batch, 7)
        assert mixed_labels.dtype == torch.float32
        assert mixed_labels.min() >= 0
        torch.testing.assert_close(mixed_labels.sum(1), torch.ones(batch))
    assert torch.equal(images, before)


@pytest.mark.parametrize("batch", [2, 5])
def test_mixup_weighs_pixels_as_labels(batch):
    images, labels = constant_images(batch), torch.arange(batch)
    kept = []
    for number in range(200):
        mixed, soft = MixUp(alpha=1.0)(images, labels, batch, seed=0, epoch=0, number=number)
        expected = soft @ torch.arange(batch).float()
        torch.testing.assert_close(mixed, expected.view(-1, 1, 1, 1).expand_as(mixed))
        torch.testing.assert_close(soft.diagonal(), soft[0, 0].expand(batch))
        torch.testing.assert_close(soft[:, [-1, *range(batch - 1)]].diagonal(), 1 - soft[0, 0].expand(batch))
        kept.append(soft[0, 0])
    kept = torch.stack(kept)  # uniform, as Beta(1, 1) is
    assert kept.mean() == pytest.approx(0.5, abs=0.08)
    assert kept.std() == pytest.approx(12**-0.5, abs=0.04)


@pytest.mark.parametrize("batch", [2, 5])
def test_cutmix_labels_are_the_share_of_pixels(batch):
    images, labels = constant_images(batch), torch.arange(batch)
    shares = []
    for number in range(200):
        mixed, soft = CutMix()(images, labels, batch, seed=0, epoch=0, number=number)
        own = (mixed == images).flatten(1).float().mean(1)
        torch.testing.assert_close(soft.diagonal(), own)
        partner = (mixed == images.roll(1, 0)).flatten(1).float().mean(1)
        torch.testing.assert_close(own + partner, torch.ones(batch))
        shares.append(own[0])
    shares = torch.stack(shares)
    assert shares.min() < 0.3
    assert shares.max() > 0.9


@pytest.mark.parametrize("mix", MIXES)
def test_never_mixed_is_the_batch_itself(mix):
    images, labels = torch.rand(4, 1, 8, 8), torch.tensor([0, 2, 1, 1])
    same, soft = mix(p=0.0)(images, labels, 3, seed=0, epoch=0, number=0)
    assert torch.equal(same, images)
    assert torch.equal(soft, torch.eye(3)[labels])


@pytest.mark.parametrize("mix", MIXES)
def test_some_batches_are_mixed(mix):
    images, labels = constant_images(3), torch.arange(3)
    batches = [mix(alpha=1.0, p=0.5)(images, labels, 3, 0, 0, number)[0] for number in range(200)]
    assert 70 < sum(not torch.equal(batch, images) for batch in batches) < 130


@pytest.mark.parametrize("mix", MIXES)
def test_a_batch_is_repeated_by_its_name_alone(mix):
    images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)

    def mixed(*name):
        torch.rand(1)  # the global generator does not matter
        return mix(alpha=1.0)(images, labels, 4, *name)[0]

    assert torch.equal(mixed(0, 0, 0), mixed(0, 0, 0))
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not torch.equal(mixed(0, 0, 0), mixed(*other))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_kept(mix, channels):
    images = torch.empty(4, channels, 8, 6, memory_format=torch.channels_last).uniform_()
    mixed, _ = mix()(images, torch.arange(4), 4, 0, 0, 0)
    assert mixed.stride() == images.stride()


def test_mixup_refuses_bytes():
    with pytest.raises(ValueError, match="floating point"):
        MixUp()(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), 2, 0, 0, 0)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("settings", [{"alpha": 0}, {"alpha": -1}, {"p": 1.1}, {"p": -0.1}, {"p": float("nan")}])
def test_settings_are_checked(mix, settings):
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"{name} is .*: {mix.__name__} takes"):
        mix(**settings)


@pytest.mark.parametrize("mix", MIXES)
def test_the_last_epochs_train_on_whole_images(mix):
    images, labels = torch.rand(8, 3, 6, 6), torch.arange(8) % 3
    for epoch in range(4):
        mixed, soft = mix(alpha=1.0, epochs=2)(images, labels, 3, seed=0, epoch=epoch, number=0)
        assert torch.equal(mixed, images) == (epoch >= 2)
        assert soft.shape == (8, 3)
        all_epochs, _ = mix(alpha=1.0)(images, labels, 3, seed=0, epoch=epoch, number=0)
        assert epoch >= 2 or torch.equal(mixed, all_epochs)  # the earlier ones mix as without the argument
    with pytest.raises(UserError, match="epochs"):
        mix(epochs=-1)
