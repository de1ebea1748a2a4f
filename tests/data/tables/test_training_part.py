"""Folds, balanced batches and a long tail on tables and arrays: they take effect, or are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit import ImageTable, from_arrays
from cnnkit.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
LABELS = np.arange(60) % 2
SEVERAL = np.stack([LABELS, 1 - LABELS], axis=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = ["path,label,patient"]
    for k, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
        rows.append(f"{k}.png,{'cat' if LABELS[k] else 'dog'},{k // 3}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return tmp_path / "table.csv"


def test_folds_of_a_table_are_disjoint_and_cover_all_but_the_test_images(table: Path) -> None:
    parts = []
    for fold in range(3):
        data = ImageTable(str(table), group_column="none", folds=3, fold=fold, image_size=4, data_dir=str(table.parent))
        data.setup()
        assert data.contents is not None
        parts.append({image.file.name for image in data.contents.images.parts["val"]})
        everything = [image for part in ("train", "val") for image in data.contents.images.parts[part]]
    assert set.union(*parts) == {image.file.name for image in everything}
    assert sum(map(len, parts)) == len(everything)


def test_folds_of_arrays_are_disjoint_and_cover_all_but_the_test_images() -> None:
    parts = []
    for fold in range(3):
        data = from_arrays(IMAGES, LABELS, test_indices=np.arange(6), folds=3, fold=fold)
        data.setup()
        assert data.store is not None
        parts.append({data.store.train_images[int(k)].numpy().tobytes() for k in data.val_indices})
    assert set.union(*parts) == {image.tobytes() for image in IMAGES[6:]}
    assert sum(map(len, parts)) == 54


def test_a_long_tail_of_arrays_and_balanced_batches_take_effect() -> None:
    data = from_arrays(IMAGES, LABELS, val_size=10, test_size=10, imbalance_ratio=5, sampling="balanced", batch_size=4)
    counts = data.count_classes()
    assert counts[0] == 5 * counts[1]
    labels = [int(label) for batch in data.train_dataloader() for label in batch.labels]
    assert abs(labels.count(0) - labels.count(1)) <= 4  # an incomplete batch is left out


@pytest.mark.parametrize("more", [{"folds": 3}, {"sampling": "balanced"}, {"imbalance_ratio": 5.0}])
def test_several_labels_of_arrays_refuse_what_needs_one(more: dict[str, object]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(more))} is .*several labels"):
        from_arrays(IMAGES, SEVERAL, **more)  # type: ignore[arg-type]


def test_groups_refuse_folds(table: Path) -> None:
    data = ImageTable(str(table), folds=3, image_size=4, data_dir=str(table.parent))
    with pytest.raises(UserError, match="folds is 3, but images have groups"):
        data.setup()
    with pytest.raises(UserError, match="folds is 3, but images have groups"):
        from_arrays(IMAGES, LABELS, groups=np.arange(60) // 3, folds=3)
