"""Test-time augmentation: views against ones made by hand, and what a task logs with it."""

import pytest
import torch
from tiny_training import tiny_fit, tiny_loader, tiny_net, tiny_trainer
from torch.nn import functional as F

from cnnkit import ClassificationTask
from cnnkit.errors import UserError
from cnnkit.tasks.tta import average_views

KINDS = ("none", "flip", "flip_shift", "five_crop")
pytestmark = pytest.mark.filterwarnings("ignore")


def random_images(height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.randn(4, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one_and_views_keep_their_shape(kind):
    images = random_images()

    def forward(view: torch.Tensor) -> torch.Tensor:
        assert view.shape == images.shape
        return torch.ones(4, 2)

    torch.testing.assert_close(average_views(forward, images, kind), torch.ones(4, 2))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_mirrored_image_gets_the_same_logits(kind):
    net, images = tiny_net(image_size=16).eval(), random_images(16, 16)
    with torch.no_grad():
        logits, mirrored = (average_views(net, view, kind) for view in (images, images.flip(3)))
    if kind == "flip":
        torch.testing.assert_close(logits, mirrored)
    else:  # shifts are mirrored too: equal for five_crop, which has all corners
        assert kind == "flip_shift" or torch.allclose(logits, mirrored, atol=1e-5)


def test_flip_shift_is_the_weighted_mean_of_six_views():
    net, images = tiny_net(image_size=16).eval(), random_images(16, 16)
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    views = [images, padded[:, :, :-2, :-2], padded[:, :, 2:, 2:]]
    with torch.no_grad():
        expected = sum(
            weight * (net(view) + net(view.flip(3))) for view, weight in zip(views, (0.25, 0.125, 0.125), strict=True)
        )
        torch.testing.assert_close(average_views(net, images, "flip_shift"), expected)


def test_a_test_reports_both_scores_and_a_fit_only_the_plain_one():
    task = ClassificationTask(tiny_net(), tta="flip")
    fitted = tiny_fit(task)
    assert not [name for name in fitted.callback_metrics if name.endswith("_tta")]

    scores = tiny_trainer().test(task, tiny_loader(), verbose=False)[0]
    names = ("loss", "acc", "f1_macro", "acc_balanced")
    assert set(scores) == {f"test/{name}{suffix}" for name in names for suffix in ("", "_tta")}
    images, labels = tiny_loader().dataset.tensors
    task.net.eval()
    with torch.no_grad():
        plain, averaged = task.net(images), (task.net(images) + task.net(images.flip(3))) / 2
    assert scores["test/loss"] == pytest.approx(F.cross_entropy(plain, labels).item(), rel=1e-4)
    assert scores["test/loss_tta"] == pytest.approx(F.cross_entropy(averaged, labels).item(), rel=1e-4)
    assert scores["test/acc_tta"] == pytest.approx((averaged.argmax(1) == labels).float().mean().item())


def test_predictions_are_those_of_the_averaged_logits():
    task, images = ClassificationTask(tiny_net(), tta="flip").eval(), random_images(10, 10)
    with torch.no_grad():
        expected = ((task(images) + task(images.flip(3))) / 2).softmax(1)
        torch.testing.assert_close(task.predict_step((images, None), 0), expected)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="tta is 'ten_crop'"):
        ClassificationTask(tiny_net(), tta="ten_crop")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["flip", "flip_shift", "five_crop"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_side_of_one_pixel_is_not_shifted(kind, size):
    image = random_images(*size)

    def forward(view: torch.Tensor) -> torch.Tensor:
        assert view.shape == image.shape
        return view.mean((2, 3))

    logits = average_views(forward, image, kind)
    if size == (1, 1):
        torch.testing.assert_close(logits, image.mean((2, 3)))
