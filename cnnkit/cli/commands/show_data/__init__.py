"""``show-data``: images, classes, figures and augmentation of the data of a configuration."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.cli.outputs import check_png
from cnnkit.cli.parsing.options import Options, add_config, add_json, configuration_words
from cnnkit.errors import UserError
from cnnkit.files import writing_output
from cnnkit.reporting.terminal import print_table

if TYPE_CHECKING:
    from torch import Tensor

    from cnnkit.data import ImageDataModule

DESCRIPTION = """\
Print how many images of each class there are to train, validate and test, and the mean and standard deviation of the
training images' channels beside those used for normalizing. Draw images of each class, and each transform of the
augmentation before and after, with the random numbers of the run's first epochs."""
SAMPLE = 1000  # image files decoded for mean and deviation
CHUNK = 1000
SHOWN = 50  # classes in the printed table


def arguments() -> Options:
    """The words of the command."""
    options = Options("show-data", DESCRIPTION, passes_on=True)
    add_config(options)
    options.add_argument("-o", "--output", default="data.png", metavar="FILE", help="the picture (default: data.png)")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Print the figures, draw the picture, and say where it is."""
    output = check_png(args.output)
    from cnnkit.cli.commands.show_data.picture import draw_data
    from cnnkit.cli.parsing.build import build_from_config
    from cnnkit.data import ImageDataModule

    data = build_from_config(configuration_words(args)).data
    if not isinstance(data, ImageDataModule):
        raise UserError(f"{type(data).__name__} is no ImageDataModule: show-data cannot tell where its images are")
    data.setup()
    figures = describe(data)
    with writing_output(output) as file:
        draw_data(data).save(file, "png", optimize=True)
    if args.json:
        print(json.dumps({**figures, "picture": str(output)}, indent=2))
    else:
        _print(figures, output)
    return 0


def describe(data: "ImageDataModule") -> dict[str, Any]:
    """The figures of the data, in plain values.

    Args:
        data: set up.
    """
    import torch

    from cnnkit.data.descriptions import count_images
    from cnnkit.data.image_statistics import compute_channel_statistics, fits

    store = data.store
    assert store is not None
    parts = {
        "train": store.train_labels[data.train_indices],
        "val": store.train_labels[data.val_indices],
        "test": store.test_labels,
    }
    counts = {part: count_images(labels, data.num_classes) for part, labels in parts.items()}
    chosen = _chosen(data)
    mean, std = compute_channel_statistics(
        store.train_images.index_select(0, places) for places in torch.split(chosen, CHUNK)
    )
    size = data.image_size
    return {
        "data": type(data).__name__,
        "image": [data.in_channels, *((size, size) if isinstance(size, int) else size)],
        "images": {part: len(labels) for part, labels in parts.items()},
        "classes": [
            {"name": str(name), **{part: counts[part][k] for part in parts}} for k, name in enumerate(data.class_names)
        ],
        "mean": mean,
        "std": std,
        "measured_on": len(chosen),
        "normalized_with": {"mean": list(data.mean), "std": list(data.std)},
        "normalized_well": fits(mean, std, data.mean, data.std),
        "augment": [repr(transform) for transform in data.augmentation.transforms],
    }


def _chosen(data: "ImageDataModule") -> "Tensor":
    """The training images to measure: all that are in memory, some of those that are files, spread over all."""
    import torch

    assert data.store is not None
    places = data.train_indices
    if isinstance(data.store.train_images, torch.Tensor) or len(places) <= SAMPLE:
        return places
    return places[torch.linspace(0, len(places) - 1, SAMPLE).round().long()]


def _print(figures: dict[str, Any], output: Path) -> None:
    classes, parts = figures["classes"], figures["images"]
    rows = [[each["name"], *(f"{each[part]:,}" for part in parts)] for each in classes[:SHOWN]]
    if len(classes) > SHOWN:
        rows.append([f"… and {len(classes) - SHOWN} more", *[""] * len(parts)])
    print_table(["class", *parts], [*rows, ["all", *(f"{count:,}" for count in parts.values())]])
    print()
    for name, value in [*_lines(figures), ("picture", str(output))]:
        print(f"{name:14}{value}")


def _lines(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    total, used = figures["images"]["train"], figures["normalized_with"]
    few = f", of {figures['measured_on']:,} training images" if figures["measured_on"] < total else ""
    yield "data", f"{figures['data']}, images of {'x'.join(map(str, figures['image']))}"
    yield "mean", f"{_numbers(figures['mean'])} (normalized with {_numbers(used['mean'])}){few}"
    yield "deviation", f"{_numbers(figures['std'])} (normalized with {_numbers(used['std'])}){few}"
    if not figures["normalized_well"]:
        yield "attention", "these differ noticeably: set data.mean and data.std, unless a pretrained net wants others"
    for k, transform in enumerate(figures["augment"] or ["none"]):
        yield "" if k else "augmentation", transform


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
