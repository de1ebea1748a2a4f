"""Data modules of NumPy arrays: the parts, the pixels, the hashes, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from cnnkit import CNN, ClassificationTask, from_arrays
from cnnkit.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (90, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(90) % 3


def parts_of(data: Any) -> dict[str, set[bytes]]:
    """The images of each part, as bytes (H, W, C)."""
    data.setup()
    store = data.store
    parts = {
        "train": store.train_images[data.train_indices],
        "val": store.train_images[data.val_indices],
        "test": store.test_images,
    }
    return {part: {image.permute(1, 2, 0).numpy().tobytes() for image in images} for part, images in parts.items()}


def test_images_and_labels_stay_together_and_parts_are_stratified() -> None:
    data = from_arrays(IMAGES, LABELS, batch_size=10, val_size=12, test_size=9)
    data.setup()
    assert data.store is not None
    label_of = {IMAGES[i].tobytes(): int(LABELS[i]) for i in range(len(IMAGES))}
    seen = 0
    for images, labels in (
        (data.store.train_images, data.store.train_labels),
        (data.store.test_images, data.store.test_labels),
    ):
        for image, label in zip(images, labels.tolist(), strict=True):  # type: ignore[call-overload]
            assert label_of[image.permute(1, 2, 0).numpy().tobytes()] == label
            seen += 1
    assert seen == len(IMAGES)
    assert data.store.train_labels[data.val_indices].bincount().tolist() == [4, 4, 4]
    assert data.store.test_labels.bincount().tolist() == [3, 3, 3]
    assert data.shape == {"in_channels": 3, "num_classes": 3, "image_size": (6, 5)}


def test_the_content_decides_on_part_and_fingerprint() -> None:
    order = RNG.permutation(len(IMAGES))
    data, other = from_arrays(IMAGES, LABELS), from_arrays(IMAGES[order], LABELS[order])
    assert parts_of(data) == parts_of(other)
    again, changed = from_arrays(IMAGES, LABELS), from_arrays(IMAGES ^ 1, LABELS)
    fingerprints = [each.describe()["fingerprint"] for each in (data, again, changed)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    relabeled = from_arrays(IMAGES, LABELS[::-1])
    assert relabeled.describe()["fingerprint"] != fingerprints[0]


def test_given_test_images_are_all_of_them_and_copies_of_them_are_not_trained_on() -> None:
    data = from_arrays(IMAGES[:60], LABELS[:60], np.concatenate([IMAGES[60:], IMAGES[:2]]), LABELS[np.r_[60:90, 0, 1]])
    parts = parts_of(data)
    assert len(data.store.test_labels) == 32  # type: ignore[union-attr]
    assert not parts["test"] & (parts["train"] | parts["val"])
    indices = from_arrays(IMAGES, LABELS, test_indices=np.arange(60, 90))
    assert parts_of(indices)["test"] == {image.tobytes() for image in IMAGES[60:]}


def test_groups_do_not_span_parts() -> None:
    groups = np.arange(90) // 5
    data = from_arrays(IMAGES, LABELS, groups=groups)
    of_image = {image.tobytes(): int(group) for image, group in zip(IMAGES, groups, strict=True)}
    parts = [{of_image[image] for image in images} for images in parts_of(data).values()]
    assert sum(map(len, parts)) == len(set(groups.tolist()))


def test_pixels_are_normalized_by_their_own_mean_and_later_changes_do_nothing() -> None:
    images = IMAGES.copy()
    data = from_arrays(images, LABELS, augment=[], val_size=0, test_size=0, batch_size=90)
    images[:] = 0
    batch, _ = data.prepare(next(iter(data.train_dataloader())), training=False)
    assert torch.allclose(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(batch.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-3)


def test_names_and_grays_and_several_labels() -> None:
    gray = from_arrays(IMAGES[..., 0], np.array(["b", "a", "c"])[LABELS])
    assert (gray.class_names, gray.in_channels) == (("a", "b", "c"), 1)
    hot = np.eye(3, dtype=int)[LABELS] | np.eye(3, dtype=int)[(LABELS + 1) % 3]
    hot[0] = 0
    data = from_arrays(IMAGES, hot, class_names=["x", "y", "z"])
    data.setup()
    assert data.multilabel
    assert data.store is not None
    total = data.store.train_labels.sum(0) + data.store.test_labels.sum(0)
    assert total.tolist() == hot.sum(0).tolist()
    assert data.store.train_labels.dtype == torch.float32


def test_a_step_larger_than_the_data_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert from_arrays(IMAGES, LABELS, val_size=9, test_size=9).batch_size == 72  # the default fits itself in silence
    assert capsys.readouterr().err == ""
    assert from_arrays(IMAGES, LABELS, val_size=9, test_size=9, batch_size=80).batch_size == 72
    assert "batch_size is 80, but there are 72 images to train on" in capsys.readouterr().err


def test_it_trains(tmp_path: Any) -> None:
    from tiny_training import tiny_trainer

    data = from_arrays(IMAGES, LABELS, batch_size=16)
    task = ClassificationTask(CNN(**data.shape, channels=(4,), hidden_sizes=()))
    tiny_trainer(max_epochs=1).fit(task, datamodule=data)
    assert 0 <= tiny_trainer().test(task, datamodule=data, verbose=False)[0]["test/acc"] <= 1


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        ((IMAGES / 255, LABELS), {}, "images is float64"),
        ((IMAGES[0], LABELS), {}, "labels has the shape"),
        ((IMAGES[0, 0], LABELS), {}, "give uint8"),
        ((np.moveaxis(IMAGES, 3, 1), LABELS), {}, "channels come last"),
        ((IMAGES, LABELS[:-1]), {}, "for 90 images"),
        ((IMAGES, LABELS / 2), {}, "give integers or names"),
        ((IMAGES, LABELS - 1), {}, "are below 0"),
        ((IMAGES, LABELS * 0), {}, "only the class 0"),
        ((IMAGES, np.stack([LABELS, LABELS], 1)), {}, "other values than 0 and 1"),
        ((IMAGES, (LABELS > 1)[:, None]), {}, "has one column"),
        ((IMAGES, LABELS, IMAGES), {}, "belong together"),
        ((IMAGES, LABELS, IMAGES[:, 1:], LABELS), {}, "make them equal"),
        ((IMAGES, LABELS, IMAGES, LABELS.astype(str)), {}, "in the same way"),
        ((IMAGES, LABELS), {"test_indices": [90]}, "integers from 0 to 89"),
        ((IMAGES, LABELS), {"test_indices": [1], "groups": ["g"] * 90}, "are in train and test: g"),
        ((IMAGES, LABELS), {"groups": [1]}, "1 entries for 90 images"),
        ((IMAGES, LABELS), {"groups": ["g", None] * 45}, "45 of 90 images have none, the first is 1"),
        ((IMAGES, LABELS), {"groups": [*range(89), np.nan]}, "1 of 90 images have none, the first is 89"),
        ((IMAGES, LABELS), {"class_names": ["a", "b"]}, "there is a label 2"),
        ((IMAGES, LABELS), {"class_names": ["a", "b", "a"]}, "a stands twice"),
        ((IMAGES, LABELS), {"mean": [0.5], "std": [0.2]}, "need 3 numbers each"),
        ((IMAGES, LABELS), {"mirror": "photos"}, "arrays are in none: leave it out"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: tuple[Any, ...], options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        from_arrays(*arguments, **options)
    assert expected in str(caught.value)
