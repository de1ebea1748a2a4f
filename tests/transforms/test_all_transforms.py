"""One rule for every exported transform, so that a new one is held to it by being exported."""

import inspect

import pytest
import torch

from cnnkit import transforms
from cnnkit.transforms import Counter, Transform

CLASSES = [
    value
    for value in vars(transforms).values()
    if inspect.isclass(value)
    and issubclass(value, Transform)
    and value not in (Transform, transforms.ProgressiveResize)  # which changes the size and draws nothing
]
SHAPES = [(8, 3, 28, 20), (8, 1, 28, 28), (1, 3, 16, 24), (1, 1, 12, 12)]
BAD_SETTINGS = {
    "RandomCrop": [{"padding": -1}, {"padding": 1.5}, {"mode": "wrap"}],
    "RandomHorizontalFlip": [{"p": -0.1}, {"p": 1.5}],
    "AlternatingFlip": [],
    "RandomAffine": [{"degrees": -1}, {"degrees": 181}, {"translate": 2}, {"scale_low": 0}, {"scale_low": 2}],
    "RandomErasing": [{"p": 2}, {"area_low": -1}, {"area_high": 2}, {"area_low": 0.5}, {"ratio_low": 0}],
    "Cutout": [{"size": 0}, {"size": 2.5}, {"p": float("nan")}],
    "RandomBrightness": [{"amount": -0.1}, {"amount": 1.1}],
    "RandomContrast": [{"amount": -0.1}, {"amount": 1.1}],
    "ColorJitter": [{"brightness": -1}, {"contrast": -1}, {"saturation": float("nan")}, {"hue": 0.6}],
    "RandomGrayscale": [{"p": 2}],
    "RandomResizedCrop": [{"area_low": -1}, {"area_low": 0}, {"area_high": 2}, {"ratio_low": 0}, {"ratio_low": 2}],
    "RandomRotation": [{"degrees": 200}],
    "RandomVerticalFlip": [{"p": -1}],
    "RandomPerspective": [{"distortion": 1.5}, {"p": 2}],
    "GaussianBlur": [{"kernel_size": 4}, {"kernel_size": 0}, {"sigma_low": 0}, {"sigma_high": 0.05}, {"p": 2}],
    "RandAugment": [{"num_ops": 0}, {"num_ops": 1.5}, {"magnitude": 31}, {"num_magnitude_bins": 1}],
    "TrivialAugmentWide": [{"num_magnitude_bins": 1}, {"num_magnitude_bins": 2.5}],
}


def counter(index, epoch=0):
    return Counter(seed=11, epoch=epoch, index=index)


def pictures(shape, dtype=torch.uint8):
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    return images if dtype == torch.uint8 else images / 255


@pytest.mark.parametrize("transform", CLASSES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_keeps_shape_dtype_and_input(transform, shape, dtype, memory_format):
    images = pictures(shape, dtype).to(memory_format=memory_format)
    before = images.clone()
    changed = transform()(images, counter(torch.arange(shape[0])))
    assert changed.shape == images.shape
    assert changed.dtype == dtype
    assert torch.equal(images, before)
    assert changed.data_ptr() != images.data_ptr()
    assert changed.min() >= 0
    assert changed.max() <= (255 if dtype == torch.uint8 else 1 + 1e-5)
    assert torch.equal(changed, transform()(before.contiguous(), counter(torch.arange(shape[0]))))


@pytest.mark.parametrize("transform", CLASSES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_is_augmented_alike_in_any_batch(transform, dtype):
    images = pictures((16, 3, 28, 20), dtype)
    index = torch.randint(0, 60_000, (16,))
    torch.rand(3)
    together = transform()(images, counter(index))
    order = torch.randperm(16)
    assert torch.equal(transform()(images[order], counter(index[order])), together[order])
    for i in range(16):
        alone = transform()(images[i : i + 1], counter(index[i : i + 1]))
        torch.testing.assert_close(alone[0], together[i], atol=1e-6 if dtype == torch.float32 else 0, rtol=0)


@pytest.mark.parametrize("transform", CLASSES)
def test_images_differ_and_epochs_differ(transform):
    images = pictures((1, 3, 28, 28)).expand(32, -1, -1, -1)
    first, second = (transform()(images, counter(torch.arange(32), epoch)) for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert len(first.unique(dim=0)) > 1


@pytest.mark.parametrize("transform", CLASSES)
def test_bytes_and_floats_agree(transform):
    images = pictures((16, 3, 28, 20))
    from_bytes = transform()(images, counter(torch.arange(16)))
    from_floats = transform()(images / 255, counter(torch.arange(16)))
    torch.testing.assert_close(from_bytes / 255, from_floats, atol=1.5 / 255, rtol=0)


@pytest.mark.parametrize(("name", "settings"), [(n, s) for n, all_ in BAD_SETTINGS.items() for s in all_])
def test_settings_are_checked(name, settings):
    with pytest.raises(ValueError, match=f"is .*: {name} takes"):
        getattr(transforms, name)(**settings)


def test_every_class_is_listed_above():
    assert {transform.__name__ for transform in CLASSES} == set(BAD_SETTINGS)


@pytest.mark.parametrize("transform", CLASSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_gpu_never_waits(transform, channels):
    # Tensors on this device have no values, so whatever would have to wait for one fails.
    images = torch.zeros(8, channels, 28, 20, dtype=torch.uint8, device="meta")
    assert transform()(images, counter(torch.arange(8, device="meta"))).shape == images.shape


@pytest.mark.parametrize("transform", CLASSES)
def test_selected_images_and_all_images_agree(transform, monkeypatch):
    images = pictures((32, 3, 28, 20))
    as_on_a_cpu = transform()(images, counter(torch.arange(32)))
    for module in vars(transforms).values():
        if hasattr(module, "selects_images"):
            monkeypatch.setattr(module, "selects_images", lambda device: False)
    as_on_a_gpu = transform()(images, counter(torch.arange(32)))
    torch.testing.assert_close(as_on_a_gpu.int(), as_on_a_cpu.int(), atol=1, rtol=0)
    assert (as_on_a_gpu != as_on_a_cpu).float().mean() < 0.01
