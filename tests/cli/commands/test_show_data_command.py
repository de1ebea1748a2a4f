"""``show-data``: figures against an independent count, pictures against what training would do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit import FashionMNISTSample, ImageFolder
from cnnkit.cli.commands.show_data.picture import DRAWS, augmented, draw_data
from cnnkit.data.batches import Batch
from cnnkit.data.descriptions import sample_classes
from cnnkit.transforms import Cutout, MixUp, RandomCrop, RandomHorizontalFlip

CONFIG = """
seed_everything: 3
data:
  class_path: FashionMNISTSample
  init_args:
    train_fraction: 0.1
    augment:
    - {class_path: RandomCrop, init_args: {padding: 2}}
    - {class_path: RandomBrightness}
    - {class_path: Cutout, init_args: {size: 9}}
    - {class_path: MixUp}
    - {class_path: CutMix}
"""


def sample(seed: int = 1, **options: Any) -> FashionMNISTSample:
    data = FashionMNISTSample(seed=seed, train_fraction=0.1, **options)
    data.setup()
    return data


def folder(**options: Any) -> ImageFolder:
    """Three classes of 20, 10 and 10 files in color."""
    for label, (name, count) in enumerate({"[red]cat": 20, "<b>dog": 10, "$x$": 10}.items()):
        Path("pets", name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            noise = np.random.default_rng([label, k]).integers(0, 200, (30, 40, 3), np.uint8)
            Image.fromarray(noise).save(f"pets/{name}/{k}.png")
    return ImageFolder("pets", image_size=24, num_workers=0, **options)


def test_counts_and_channels_are_those_of_the_images(cli: Cli) -> None:
    Path("data.yaml").write_text(CONFIG)
    ended = cli("show-data", "--config", "data.yaml", "--json", "-o", "pictures.png")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    data = FashionMNISTSample(train_fraction=0.1)
    data.setup()
    assert data.store is not None
    parts = {
        "train": data.store.train_labels[data.train_indices],
        "val": data.store.train_labels[data.val_indices],
        "test": data.store.test_labels,
    }
    for part, labels in parts.items():
        assert found["images"][part] == len(labels)
        assert [each[part] for each in found["classes"]] == np.bincount(labels.numpy()).tolist()
    assert [each["name"] for each in found["classes"]] == list(data.class_names)
    pixels = data.store.train_images[data.train_indices].numpy().astype(np.float64) / 255
    assert found["measured_on"] == len(pixels) == 900
    assert found["mean"] == pytest.approx(pixels.mean((0, 2, 3)), rel=1e-9)
    assert found["std"] == pytest.approx(pixels.std((0, 2, 3)), rel=1e-9)
    assert found["normalized_with"] == {"mean": [0.286], "std": [0.353]}
    assert (found["normalized_well"], found["image"]) == (True, [1, 28, 28])
    assert Image.open("pictures.png").format == "PNG"


def test_the_table_has_the_classes_and_every_transform(cli: Cli) -> None:
    Path("data.yaml").write_text(CONFIG)
    ended = cli("show-data", "--config", "data.yaml", "--data.init_args.val_size=500")
    assert ended.code == 0, ended.err
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["Ankle", "boot", "95", "50", "200"] in lines
    assert ["all", "950", "500", "2,000"] in lines
    for name in ("RandomCrop", "RandomBrightness", "Cutout", "MixUp", "CutMix"):
        assert f"{name}(" in ended.out
    assert ended.out.endswith("data.png\n")


def test_the_same_seed_draws_the_same_picture() -> None:
    crops = [RandomCrop(padding=2)]
    pictures = [draw_data(sample(seed=seed, augment=crops)).tobytes() for seed in (1, 1, 2)]
    assert pictures[0] == pictures[1] != pictures[2]


def test_samples_are_training_images_of_their_class() -> None:
    data = sample()
    assert data.store is not None
    training = data.store.train_images[data.train_indices], data.store.train_labels[data.train_indices]
    for label, (name, images) in enumerate(sample_classes(data, 20, 10)):
        assert name == data.class_names[label]
        assert len(images) == 10
        own = training[0][training[1] == label]
        assert all((own == image).flatten(1).all(1).any() for image in images)
        assert len(images.flatten(1).unique(dim=0)) == 10


def test_before_and_after_are_what_the_transform_does() -> None:
    data = sample(augment=[RandomHorizontalFlip(p=1.0), Cutout(size=9, p=1.0)])
    (flip, flipped), (cutout, cut), (_, both) = augmented(data)
    assert (flip, cutout) == ("RandomHorizontalFlip(p=1.0)", "Cutout(size=9, p=1.0)")
    for images in (flipped, cut, both):
        assert images.dtype == torch.uint8
        assert len(images) == 3 * (1 + DRAWS)
    for before, *after in flipped.split(1 + DRAWS):  # type: ignore[no-untyped-call]
        assert all(torch.equal(image, before.flip(-1)) for image in after)
    for before, *after in cut.split(1 + DRAWS):  # type: ignore[no-untyped-call]
        assert len(torch.stack(after).unique(dim=0)) == DRAWS  # another place each epoch
        for image in after:
            changed = (image != before)[0]
            assert 0 < changed.sum() <= 81
            assert (image[0][changed] == 73).all()  # the mean, 0.286 * 255


def test_all_together_is_what_training_gives_the_net() -> None:
    data = sample(augment=[RandomCrop(padding=2), RandomHorizontalFlip(), Cutout(size=9)])
    assert data.store is not None
    *_, (_, shown) = augmented(data)
    found = shown.view(3, 1 + DRAWS, 1, 28, 28)
    for image in found:
        same = (data.store.train_images == image[0]).flatten(1).all(1)
        place = data.train_indices[same[data.train_indices]][:1]
        for epoch in range(DRAWS):
            batch = Batch(data.store.train_images[place], data.store.train_labels[place], place, epoch, 5)
            expected = data.prepare(batch, training=True)[0] * 0.3530 + 0.2860
            assert image[1 + epoch] / 255 == pytest.approx(expected[0].clamp(0, 1), abs=0.5 / 255 + 1e-5)


def test_a_mixed_image_is_told_with_the_share_of_its_label() -> None:
    ((title, images),) = augmented(sample(augment=[MixUp(alpha=1.0)]))
    kept = [float(share) / 100 for share in title.partition("keeping ")[2].replace("%", "").split(", ")]
    assert len({*kept}) == DRAWS
    found = images.view(3, 1 + DRAWS, 1, 28, 28).float()
    for epoch, share in enumerate(kept):
        expected = share * found[:, 0] + (1 - share) * found[:, 0].roll(1, 0)
        assert found[:, 1 + epoch] == pytest.approx(expected, abs=2)  # the share is rounded to a per cent


def test_a_folder_in_color_with_names_that_mean_something_elsewhere(cli: Cli) -> None:
    folder()
    words = ["--data=ImageFolder", "--data.root=pets", "--data.image_size=24", "--data.num_workers=0"]
    ended = cli("show-data", *words, "--data.val_size=4", "--data.test_size=4")
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "[red]cat 16 2 2" in lines
    (dogs,) = [line.split()[1:] for line in lines if line.startswith("<b>dog ")]
    assert sum(map(int, dogs)) == 10
    assert "attention these differ noticeably" in " ".join(lines)
    assert Image.open("data.png").mode == "RGB"


def test_of_many_files_some_are_decoded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnkit.cli.commands import show_data

    monkeypatch.setattr(show_data, "SAMPLE", 8)
    data = folder(val_size=0, test_size=0, augment=[])
    data.setup()
    assert data.store is not None
    seen: list[int] = []
    read = data.store.train_images.index_select

    def counted(dim: int, index: torch.Tensor) -> torch.Tensor:
        seen.extend(index.tolist())
        return read(dim, index)

    monkeypatch.setattr(data.store.train_images, "index_select", counted)
    found = show_data.describe(data)
    assert found["measured_on"] == len({*seen}) == 8
    assert {int(data.store.train_labels[place]) for place in seen} == {0, 1, 2}
    pixels = read(0, torch.tensor(seen)).numpy() / 255.0
    assert found["mean"] == pytest.approx(pixels.mean((0, 2, 3)))
    assert draw_data(data).height < 300  # no augmentation, no rows of it


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-o data.jpg", "output is data.jpg: give a file that ends in .png"),
        ("-o /proc/data.png", "/proc/data.png: cannot be written (No such file or directory)"),
        ("--config no.yaml", "no.yaml: no such"),
        ("--data=ImageFolder --data.root=nowhere", "nowhere"),
        ("--outptu x.png", "--outptu: unknown word; did you mean --output?"),
    ],
)
def test_a_mistake_of_the_words_is_told_in_a_line(cli: Cli, words: str, expected: str) -> None:
    ended = cli("show-data", *words.split())
    assert ended.code == 2
    assert expected in ended.err, ended.err
    assert len(ended.err.splitlines()) <= 3
    assert not list(Path().glob("*.png"))
