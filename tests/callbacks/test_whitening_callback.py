"""Whitening in a fit on the bundled sample: frozen filters that decorrelate, and a bias that stops training."""

import pytest
import torch
from tiny_training import tiny_trainer
from torch.nn import functional as F

from cnnkit import CNN, ClassificationTask, FashionMNISTSample, SpeedNet
from cnnkit.callbacks import Whitening
from cnnkit.errors import UserError
from cnnkit.optim import MuonSGD

pytestmark = pytest.mark.filterwarnings("ignore")


def fit(callback, epochs=2, net=None, **kwargs):
    torch.manual_seed(0)
    data = FashionMNISTSample(batch_size=100)
    task = ClassificationTask(net or SpeedNet(1, 10, 28, widths=(4, 6, 8)), MuonSGD)
    trainer = tiny_trainer(callback, max_epochs=epochs, limit_train_batches=2, limit_val_batches=0, **kwargs)
    trainer.fit(task, datamodule=data)
    return task, data, trainer


def test_the_first_layer_whitens_the_images_and_stays():
    task, data, _ = fit(Whitening(images=1000))
    images = torch.cat([batch for batch, _ in data.plain_batches("train")])[:1000]
    first = task.net.first
    outputs = F.conv2d(images, first.weight[:4]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(outputs), torch.eye(4), rtol=0, atol=0.05)
    assert torch.equal(first.weight[:4], -first.weight[4:])
    assert not first.weight.requires_grad


@pytest.mark.parametrize(("epochs", "moves"), [(0, False), (1, True)])
def test_the_bias_trains_for_its_epochs(epochs, moves):
    torch.manual_seed(0)
    start = SpeedNet(1, 10, 28, widths=(4, 6, 8)).first.bias.detach().clone()
    after = [fit(Whitening(100, bias_epochs=epochs), total)[0].net.first.bias for total in (1, 3)]
    assert torch.equal(after[0], start) is not moves
    assert torch.equal(after[0], after[1])


def test_a_resumed_fit_keeps_the_filters_of_its_checkpoint(tmp_path):
    task, _, trainer = fit(Whitening(images=100), 1)
    trainer.save_checkpoint(file := tmp_path / "last.ckpt")
    expected = task.net.first.weight.detach().clone()
    again = ClassificationTask(SpeedNet(1, 10, 28, widths=(4, 6, 8)), MuonSGD)
    resumed = tiny_trainer(Whitening(images=1000), max_epochs=2, limit_train_batches=2, limit_val_batches=0)
    resumed.fit(again, datamodule=FashionMNISTSample(batch_size=100), ckpt_path=file, weights_only=True)
    assert torch.equal(again.net.first.weight, expected)
    assert resumed.global_step == 4


def test_a_net_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"at least 9 filters .* 4 of 3x3"):
        fit(Whitening(), net=CNN(1, 10, 28, channels=(4, 4)))


def test_two_of_them_are_refused():
    trainer = tiny_trainer(Whitening(100), Whitening(100), max_epochs=1)
    with pytest.raises(UserError, match="Whitening stands twice"):
        trainer.fit(ClassificationTask(SpeedNet(1, 10, 28, widths=(4, 6, 8)), MuonSGD), FashionMNISTSample())
