"""Training images that are larger than the net's input, for random crops."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cnnkit.data import ImageFolder
from cnnkit.data.images.decode import read_image
from cnnkit.errors import UserError
from cnnkit.transforms import Counter, RandomHorizontalFlip, RandomResizedCrop

Folder = Callable[..., ImageFolder]


@pytest.mark.parametrize("cache", ["disk", "memory", "none"])
def test_crops_are_of_larger_images_in_training_alone(folder: Folder, cache: str) -> None:
    data = folder(store_size=12, augment=[RandomResizedCrop(0.3, 0.6)], cache=cache)
    batches = list(data.train_dataloader())
    for batch in batches:
        files = [data.store.train_images.files[i] for i in batch.indices]  # type: ignore[union-attr]
        assert torch.equal(batch.images, torch.stack([read_image(file, 3, (12, 12)) for file in files]))
        images, _ = data.prepare(batch, training=True)
        alone = RandomResizedCrop(0.3, 0.6)
        alone.size = (8, 8)
        crops = alone(batch.images, Counter(3, batch.epoch, batch.indices))
        assert torch.equal(images, data.augmentation.normalize(crops))
    plain = next(iter(data.plain_batches("train")))[0]
    for batch in (next(iter(data.val_dataloader())), next(iter(data.test_dataloader()))):
        assert batch.images.shape[1:] == plain.shape[1:] == (3, 8, 8)
    test = data.store.test_images  # type: ignore[union-attr]
    assert torch.equal(test.index_select(0, torch.tensor([0]))[0], read_image(test.files[0], 3, (8, 8)))


def test_larger_images_that_nothing_uses_are_refused(folder: Folder) -> None:
    for augment in ([], [RandomHorizontalFlip(p=1)]):
        with pytest.raises(UserError, match=r"store_size is \(12, 16\), but augment has no RandomResizedCrop"):
            folder(store_size=(12, 16), augment=augment)


def test_a_second_run_decodes_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = [batch.images for batch in folder(store_size=12).train_dataloader()]
    assert len(list(tmp_path.glob("data/.cnnkit/pixels/*/about.json"))) == 2

    def forbid(*args: object, **options: object) -> torch.Tensor:
        raise AssertionError("this was not to be called")

    monkeypatch.setattr("cnnkit.data.file_module.read_image", forbid)
    monkeypatch.setattr("cnnkit.data.image_files.read_image", forbid)
    again = [batch.images for batch in folder(store_size=12).train_dataloader()]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_the_default_is_the_light_preset(folder: Folder) -> None:
    names = [type(transform).__name__ for transform in folder(store_size=10).augmentation.transforms]
    assert names == ["RandomResizedCrop", "AlternatingFlip"]
    assert folder(store_size=8).store_size is None


@pytest.mark.parametrize("size", [7, 17, (8, 17), (7, 8)])
def test_sizes_out_of_range_are_refused(folder: Folder, size: int | tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"store_size is .*: give image_size, which is 8x8, up to twice that"):
        folder(store_size=size)
