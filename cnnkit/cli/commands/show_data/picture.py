"""One picture of a data set: images of each class, and what the augmentation makes of some of them."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cnnkit.data import ImageDataModule
from cnnkit.data.descriptions import CLASSES, COLUMNS, find_label, sample_classes
from cnnkit.notices import printable
from cnnkit.reporting.figures import short
from cnnkit.reporting.grids import enlarge, tile, to_images
from cnnkit.transforms import Counter, Mix, Transform
from cnnkit.transforms.resized_crop import shrink_images

CHANGED = 3  # images that are augmented
DRAWS = 3  # times each
LEAST, MOST = 56, 112  # pixels of a shown image's longer side
MARGIN, GAP = 8, 10  # pixels of white


def draw_data(data: ImageDataModule) -> Image.Image:
    """The picture, in RGB; the same for the same data and seed.

    Args:
        data: set up.
    """
    count = len(data.class_names)
    first = "Training images" + (f" of the first {CLASSES} of {count} classes" if count > CLASSES else "")
    parts = [_text(first, 15), *(_beside(name, images) for name, images in sample_classes(data, CLASSES, COLUMNS))]
    if data.augmentation.transforms:
        parts.append(_text("Augmentation: each image as it is, and then as in the epochs 1 to 3", 15))
        for title, changed in augmented(data):
            parts += [_text(title), _picture(changed, changed.shape[0] // (1 + DRAWS))]
    width = max(part.width for part in parts) + 2 * MARGIN
    sheet = Image.new("RGB", (width, sum(part.height + MARGIN for part in parts) + MARGIN), "white")
    top = MARGIN
    for part in parts:
        sheet.paste(part, (MARGIN, top))
        top += part.height + MARGIN
    return sheet


def augmented(data: ImageDataModule) -> Iterator[tuple[str, Tensor]]:
    """Each transform alone, and all together if there are several, with images before and after it.

    The numbers are drawn as in training: the same images, epochs and place in the list give the same pictures there.

    Yields:
        What the transform is, and images uint8 (B, C, H, W): each before it, then after it in the first epochs. They
        are of different classes, and a mix mixes them with each other.
    """
    assert data.store is not None
    labels = data.store.train_labels[data.train_indices]
    places = [find_label(labels, label).nonzero()[:1, 0] for label in range(data.num_classes)]
    chosen = data.train_indices[
        torch.unique(torch.cat(places))[:CHANGED] if data.multilabel else torch.cat(places)[:CHANGED]
    ]
    stored = data.store.train_images if data.store.large_images is None else data.store.large_images
    given, labels = stored.index_select(0, chosen), data.store.train_labels[chosen]
    before = data.store.train_images.index_select(0, chosen)
    transforms = list(data.augmentation.transforms)
    for stream, transform in enumerate(transforms):
        title, after = repr(transform), []
        for epoch in range(DRAWS):
            counter = Counter(data.run_seed, epoch, chosen, stream)
            images, soft = _apply(data, transform, given, labels, counter)
            after.append(_scale_to(before, images))
            if isinstance(transform, Mix) and not data.multilabel:
                kept = soft[0, labels[0]].item()
                title += f"{', keeping' if epoch == 0 else ','} {kept:.0%}"
        yield title, torch.stack([before, *after], 1).flatten(0, 1)
    if len(transforms) > 1:
        counters = [Counter(data.run_seed, epoch, chosen) for epoch in range(DRAWS)]
        ends = [data.augmentation(given, labels, counter, 0, data.num_classes)[0] for counter in counters]
        after = [_scale_to(before, to_images(images, data.mean, data.std)) for images in ends]
        yield "All together, as the net gets them", torch.stack([before, *after], 1).flatten(0, 1)


def _scale_to(before: Tensor, images: Tensor) -> Tensor:
    """Scale images to the size of the net's input; pixels of smaller ones become visible."""
    if images.shape[2] >= before.shape[2]:
        return shrink_images(images, before.shape[2:])
    return F.interpolate(images.float(), list(before.shape[2:]), mode="nearest").to(images.dtype)


def _apply(
    data: ImageDataModule, transform: object, images: Tensor, labels: Tensor, counter: Counter
) -> tuple[Tensor, Tensor]:
    """One transform alone: images uint8, and labels."""
    normalize = data.augmentation.normalize
    if isinstance(transform, Mix):
        seed, epoch = counter.seed, counter.epoch
        mixed, labels = transform(normalize(images), labels, data.num_classes, seed, epoch, 0, counter.stream)
        return to_images(mixed, data.mean, data.std), labels
    assert isinstance(transform, Transform)
    if transform.after_normalize:
        return to_images(transform(normalize(images), counter), data.mean, data.std), labels
    changed = transform(images, counter)
    return (changed if changed.dtype == torch.uint8 else (changed * 255).round().clamp(0, 255).to(torch.uint8)), labels


def _picture(images: Tensor, groups: int = 1) -> Image.Image:
    """Images in a row, of a size that can be seen, with more space between groups of them."""
    largest = max(images.shape[-2:])
    if largest > MOST:
        size = [round(MOST / largest * side) or 1 for side in images.shape[-2:]]
        images = F.interpolate(images.float(), size, mode="bilinear", antialias=True).round().to(torch.uint8)
    rows = [tile(enlarge(part, LEAST), len(part)) for part in images.chunk(groups)]
    row = torch.cat([F.pad(part, (0, GAP), value=255) for part in rows], -1)
    return Image.fromarray(row.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def _text(text: str, size: int = 12) -> Image.Image:
    """A line of text, as large as it needs."""
    font = ImageFont.load_default(size)
    text = printable(text)[:160]
    box = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font)
    line = Image.new("RGB", (int(box[2]) + 1, int(box[3]) + 2), "white")
    ImageDraw.Draw(line).text((0, 0), text, "black", font)
    return line


def _beside(name: str, images: Tensor) -> Image.Image:
    """A row of images behind its class."""
    label, row = _text(short(name, 18)), _picture(images)
    whole = Image.new("RGB", (120 + row.width, row.height), "white")
    whole.paste(label, (0, (row.height - label.height) // 2))
    whole.paste(row, (120, 0))
    return whole
