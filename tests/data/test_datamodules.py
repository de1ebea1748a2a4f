import pytest
import torch

from cnnkit.data import CIFAR10, MNIST, Batch, FashionMNIST, FashionMNISTSample, ImageDataModule
from cnnkit.data.store import Store
from cnnkit.errors import UserError
from cnnkit.transforms import AlternatingFlip, CutMix, MixUp, RandomHorizontalFlip


def test_the_test_set_is_whole_in_order_and_never_trained_on() -> None:
    data = FashionMNISTSample(batch_size=7, eval_batch_size=300)
    data.setup("fit")
    store = data.open()
    test = torch.cat([batch.images for batch in data.test_dataloader()])
    assert torch.equal(test, store.test_images)
    train = torch.cat([batch.indices for batch in data.train_dataloader()])
    val = torch.cat([batch.indices for batch in data.val_dataloader()])
    assert not set(train.tolist()) & set(val.tolist())
    assert len(val) == 1000
    assert torch.bincount(store.train_labels[val]).tolist() == [100] * 10
    assert data.train_dataloader().images.data_ptr() == store.train_images.data_ptr()
    assert data.train_dataloader().images.data_ptr() != store.test_images.data_ptr()


def test_evaluation_is_normalized_and_nothing_else() -> None:
    data = FashionMNISTSample()
    data.setup()
    batch = data.test_dataloader().batch(0, 0)
    images, labels = data.prepare(batch, training=False)
    expected = (batch.images.float() / 255 - 0.2860) / 0.3530
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(labels, batch.labels)
    assert images.stride() == (784, 1, 28, 1)  # channels_last, which `contiguous` does not give for one channel


def test_training_augments_by_seed_epoch_and_image() -> None:
    data = FashionMNISTSample(seed=5)
    data.setup()
    loader = data.train_dataloader()
    one, again = (data.prepare(loader.batch(0, 3), training=True)[0] for _ in range(2))
    assert torch.equal(one, again)
    plain = data.prepare(loader.batch(0, 3), training=False)[0]
    assert not torch.equal(one, plain)
    other = FashionMNISTSample(seed=6)
    other.setup()
    assert not torch.equal(one, other.prepare(loader.batch(0, 3), training=True)[0])


def test_mixing_gives_soft_labels() -> None:
    data = FashionMNISTSample(augment=[RandomHorizontalFlip(), MixUp(), CutMix()])
    data.setup()
    _, labels = data.prepare(data.train_dataloader().batch(0, 0), training=True)
    assert labels.shape == (128, 10)
    torch.testing.assert_close(labels.sum(1), torch.ones(128))


def test_batches_of_other_loaders_pass_untouched() -> None:
    pair = (torch.zeros(2, 1, 28, 28), torch.zeros(2))
    assert FashionMNISTSample().prepare(pair, training=True) is pair


def test_the_run_seed_is_that_of_seed_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    assert FashionMNISTSample().run_seed == 17
    assert FashionMNISTSample(seed=2).run_seed == 2


def test_digits_are_not_mirrored_by_default() -> None:
    assert not any(isinstance(t, RandomHorizontalFlip | AlternatingFlip) for t in MNIST().default_augment())
    assert any(isinstance(t, AlternatingFlip) for t in CIFAR10().default_augment())


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10, FashionMNISTSample])
def test_every_data_set_says_its_shape(kind: type[ImageDataModule]) -> None:
    shape = kind().shape
    assert set(shape) == {"in_channels", "num_classes", "image_size"}
    assert len(kind.mean) == len(kind.std) == shape["in_channels"]


def test_val_size_zero_means_no_validation() -> None:
    data = FashionMNISTSample(val_size=0)
    data.setup()
    assert data.val_dataloader() == []
    assert len(data.train_indices) == 10_000


def test_the_manifest_tells_data_and_split() -> None:
    facts = FashionMNISTSample().describe()
    assert facts["fingerprint"] == FashionMNISTSample().open().fingerprint
    assert facts["split"] != FashionMNISTSample(split_seed=1).describe()["split"]
    assert (facts["train_images"], facts["val_images"], facts["test_images"]) == (9000, 1000, 2000)


def test_arrays_on_a_device_that_is_not_there_is_refused() -> None:
    data = FashionMNISTSample(resident="device")
    data.setup()
    with pytest.raises(UserError, match="resident"):
        data.train_dataloader()


def test_a_batch_is_a_tuple_that_lightning_moves() -> None:
    from lightning.fabric.utilities import move_data_to_device

    data = FashionMNISTSample()
    data.setup()
    moved = move_data_to_device(data.train_dataloader().batch(0, 1), torch.device("cpu"))
    assert isinstance(moved, Batch)
    assert moved.number == 1


def test_it_can_be_printed() -> None:
    data = FashionMNISTSample()
    assert str(data) == "FashionMNISTSample, not set up"
    data.setup()
    assert str(data) == "FashionMNISTSample: 9,000 train, 1,000 val, 2,000 test"


def test_a_data_set_with_several_labels_is_split_by_the_sets_of_labels() -> None:
    hot = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]).repeat(25, 1)
    images = torch.zeros(100, 1, 4, 4, dtype=torch.uint8)

    class Tagged(ImageDataModule):
        in_channels, num_classes, image_size, multilabel = 1, 2, 4, True
        mean, std = (0.5,), (0.5,)

        def open(self) -> Store:
            return Store("tagged", images, hot, images[:4], hot[:4], ("a", "b"), "tagged-1", {})

    data = Tagged(val_size=20, batch_size=8)
    data.setup()
    assert hot[data.val_indices].unique(dim=0, return_counts=True)[1].tolist() == [5] * 4
    assert not set(data.val_indices.tolist()) & set(data.train_indices.tolist())
    assert data.count_classes() == [40, 40]
