"""The resize inside of exported files against Pillow, by way of the function that prepares the images of a run."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.export import Dim

from cnnkit.data.images.decode import convert_image
from cnnkit.export.resize import resize_images

RULES = ("crop", "squash", "pad")
AWKWARD = [(1, 1), (1, 300), (300, 1), (32, 32), (33, 32), (31, 64), (640, 360), (360, 640), (900, 700), (40, 700)]


class Resized(nn.Module):
    def __init__(self, size: tuple[int, int], rule: str) -> None:
        super().__init__()
        self.size, self.rule = size, rule

    def forward(self, images: Tensor) -> Tensor:
        return resize_images(images, self.size, self.rule)


def made(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Noise, of which every third image has only black and white pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (channels, height, width), dtype=np.uint8)
    return torch.from_numpy((pixels > 127).astype(np.uint8) * 255 if seed % 3 == 0 else pixels)


def by_pillow(image: Tensor, size: tuple[int, int], rule: str) -> Tensor:
    pixels = image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy()
    return convert_image(Image.fromarray(pixels), len(image), size, rule).float()


@pytest.mark.parametrize("rule", RULES)
def test_pixels_are_those_of_pillow(rule):
    random = np.random.default_rng(RULES.index(rule))
    unequal = total = 0
    for seed in range(80):
        height, width = np.exp(random.uniform(0, np.log(500), 2)).astype(int).tolist()
        height, width = AWKWARD[seed] if seed < len(AWKWARD) else (height, width)
        size = tuple(random.choice([1, 7, 28, 32, 33, 64, 128], 2).tolist()) if seed % 2 else (32, 32)
        image = made(1 + 2 * (seed % 2), height, width, seed)
        ours, expected = resize_images(image[None], size, rule)[0], by_pillow(image, size, rule)
        assert (ours.dtype, ours.shape) == (torch.float32, expected.shape)
        assert (ours - expected).abs().max() <= 1, (height, width, size)
        unequal, total = unequal + int((ours != expected).sum()), total + ours.numel()
    assert unequal <= total / 10_000, "one side is scaled before the other in another case than in Pillow 13.0?"


@pytest.mark.parametrize("rule", RULES)
def test_an_image_of_the_size_stays_what_it_is(rule):
    image = made(3, 28, 20, seed=1)[None]
    assert torch.equal(resize_images(image, (28, 20), rule), image.float())
    traced = torch.export.export(
        Resized((28, 20), rule), (made(3, 9, 9)[None],), dynamic_shapes=({2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    )
    assert torch.equal(traced.module()(image), image.float())  # where sizes are symbols, by its arithmetic


def test_sums_beyond_31_bits_are_those_of_pillow():
    image = made(1, 5000, 3400, seed=1) // 8 + 224  # all pixels together: more than 2 ** 31
    assert torch.equal(resize_images(image[None], (2, 3), "squash")[0], by_pillow(image, (2, 3), "squash"))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_exported_it_gives_the_same_for_every_size(tmp_path, rule):
    onnxruntime = pytest.importorskip("onnxruntime")
    net, sizes = Resized((32, 28), rule), {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(net, (torch.zeros(2, 3, 35, 33, dtype=torch.uint8),), dynamic_shapes=(sizes,))
    torch.onnx.export(program, dynamo=True, verbose=False).save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for seed, (height, width) in enumerate(AWKWARD):
        images = torch.stack([made(3, height, width, seed + k) for k in range(1 + seed % 3)])
        expected = net(images)
        assert torch.equal(program.module()(images), expected)
        found = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
        assert np.array_equal(found, expected.numpy()), (height, width)
