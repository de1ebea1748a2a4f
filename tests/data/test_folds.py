"""Cross-validation folds and long-tailed training sets, against scikit-learn's properties and the published sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_folders import files_of, fill
from sklearn.model_selection import StratifiedKFold

from cnnkit.data import FashionMNISTSample, ImageFolder
from cnnkit.data.splits import split_fold, thin_classes
from cnnkit.errors import UserError

LABELS = torch.tensor([0] * 23 + [1] * 7 + [2] * 11 + [4] * 5)[torch.randperm(46, generator=torch.Generator())]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_disjoint_cover_all_and_are_as_even_as_those_of_scikit_learn(folds: int) -> None:
    parts = [split_fold(LABELS, folds, fold, seed=4) for fold in range(folds)]
    assert torch.equal(torch.cat([val for _, val in parts]).sort().values, torch.arange(46))
    for train, val in parts:
        assert torch.equal(torch.cat([train, val]).sort().values, torch.arange(46))
    ours = torch.stack([LABELS[val].bincount(minlength=5) for _, val in parts])
    theirs = np.stack(
        [np.bincount(LABELS[val], minlength=5) for _, val in StratifiedKFold(folds).split(np.zeros(46), LABELS.numpy())]
    )
    for counts in (ours.numpy(), theirs):
        assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(ours.sum(1).numpy()) <= 1  # and so do the sizes of whole folds
    assert sorted(ours.sum(0).tolist()) == sorted(theirs.sum(0).tolist())


def test_folds_depend_on_the_split_seed_alone() -> None:
    first, again, other = (
        FashionMNISTSample(folds=4, fold=1, split_seed=s, seed=r) for s, r in ((0, 1), (0, 2), (1, 1))
    )
    for data in (first, again, other):
        data.setup()
    assert torch.equal(first.val_indices, again.val_indices)
    assert not torch.equal(first.val_indices, other.val_indices)
    assert first.describe() | {"seed": 2} == again.describe()
    assert (first.describe()["folds"], first.describe()["fold"], first.val_size) == (4, 1, 2500)
    assert len(list(first.test_dataloader())) == 2  # all 2,000


def test_a_fraction_trains_on_less_and_validates_on_the_same() -> None:
    whole, part = (split_fold(LABELS, 3, 1, fraction) for fraction in (1.0, 0.5))
    assert torch.equal(whole[1], part[1])
    assert set(part[0].tolist()) < set(whole[0].tolist())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": 1}, "folds is 1: give at least 2"),
        ({"fold": 2}, "fold is 2, but there are no folds"),
        ({"folds": 3, "fold": 3}, "fold is 3: of 3 folds give one from 0 to 2"),
        ({"folds": 3, "fold": -1}, "fold is -1"),
        ({"sampling": "even"}, "sampling is 'even': choose one of shuffle, balanced"),
        ({"imbalance_ratio": 0.5}, "imbalance_ratio is 0.5"),
        ({"imbalance_ratio": float("nan")}, "imbalance_ratio is nan"),
    ],
)
def test_bad_arguments_are_refused(options, said: str) -> None:
    with pytest.raises(UserError, match=said):
        FashionMNISTSample(**options)


def test_more_folds_than_images_of_a_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"smallest class has 1,?000 training images"):
        FashionMNISTSample(folds=1001).setup()
    fill(tmp_path / "photos", {"blue": 9, "red": 3})
    with pytest.raises(UserError, match=r"red has 3 images .* at most 3"):
        ImageFolder(str(tmp_path / "photos"), data_dir=str(tmp_path), folds=4, test_size=0).setup()


def test_folds_of_a_folder(tmp_path: Path) -> None:
    """They are disjoint, cover all but the test images, hold copies together and do not depend on names."""
    root = tmp_path / "photos"
    fill(root, {"blue": 13, "green": 7, "red": 8})
    (root / "red" / "copy.png").write_bytes((root / "red" / "000.png").read_bytes())
    options = {"data_dir": str(tmp_path / "records"), "image_size": 8, "num_workers": 0}
    folds = [files_of(ImageFolder(str(root), folds=3, fold=fold, **options)) for fold in range(3)]
    assert len({tuple(each["test"]) for each in folds}) == 1
    vals = [file for each in folds for file in each["val"]]
    rest = {file.relative_to(root).as_posix() for file in root.glob("*/*")} - set(folds[0]["test"])
    assert sorted(vals) == sorted(rest)
    for each in folds:
        assert set(each["train"]) == rest - set(each["val"])
        assert ("red/copy.png" in each["val"]) == ("red/000.png" in each["val"])
    for name in ("blue", "green"):
        counts = [sum(file.startswith(name) for file in each["val"]) for each in folds]
        assert max(counts) - min(counts) <= 1
    (root / "blue" / "000.png").rename(root / "blue" / "zzz.png")
    renamed = files_of(ImageFolder(str(root), folds=3, fold=1, **options))
    assert len(renamed["val"]) == len(folds[1]["val"])
    assert {name.replace("zzz", "000") for name in renamed["val"]} == set(folds[1]["val"])


def test_folds_beside_a_validation_folder_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "photos" / "train", {"blue": 4, "red": 4})
    fill(tmp_path / "photos" / "val", {"blue": 2, "red": 2}, seed=1)
    with pytest.raises(UserError, match=r"data.folds is 2, but .*val has the validation images"):
        ImageFolder(str(tmp_path / "photos"), data_dir=str(tmp_path), folds=2).setup()


@pytest.mark.parametrize(("ratio", "total"), [(100, 12_406), (50, 13_996), (10, 20_431), (1, 50_000)])
def test_the_long_tail_has_the_published_sizes(ratio: float, total: int) -> None:
    """Cao et al. 2019: CIFAR-10-LT has 12,406 training images with ratio 100."""
    labels = torch.arange(10).repeat(5000)
    kept = thin_classes(labels, torch.arange(50_000), ratio, 10)
    counts = labels[kept].bincount().tolist()
    assert (len(kept), counts[0], counts[-1]) == (total, 5000, 5000 // ratio)
    assert counts == sorted(counts, reverse=True)


def test_the_long_tail_leaves_validation_and_test_whole_and_is_nested() -> None:
    whole, thin, thinner = (FashionMNISTSample(imbalance_ratio=ratio) for ratio in (None, 10, 50))
    for data in (whole, thin, thinner):
        data.setup()
        assert len(data.val_indices) == 1000
        assert data.describe()["test_images"] == 2000
    assert set(thinner.train_indices.tolist()) < set(thin.train_indices.tolist()) < set(whole.train_indices.tolist())
    assert torch.equal(whole.val_indices, thin.val_indices)
    assert thin.count_classes() == thin.describe()["class_counts"]
    assert (thin.count_classes()[0], thin.count_classes()[-1]) == (900, 90)
    with pytest.raises(UserError, match="imbalance_ratio is 901, but the largest class has 900 images"):
        FashionMNISTSample(imbalance_ratio=901).setup()
