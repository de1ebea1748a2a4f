"""Write some of CIFAR-10's training images and all test images as an image folder, to try your own data set.

python experiments/transfer/make_folder.py FOLDER [images per class]
"""

import sys
from pathlib import Path

import torch
from torchvision.io import write_png

from cnnkit import CIFAR10


def main(folder: Path, per_class: int) -> None:
    """Write 32x32 PNG files to ``folder/<split>/<class>/``."""
    data = CIFAR10(val_size=0)
    data.setup()
    store = data.store
    chosen = torch.cat([(store.train_labels == k).nonzero()[:per_class, 0] for k in range(10)])
    splits = {
        "train": (store.train_images[chosen], store.train_labels[chosen]),
        "test": (store.test_images, store.test_labels),
    }
    for split, (images, labels) in splits.items():
        for name in store.class_names:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            write_png(image, str(folder / split / store.class_names[label] / f"{number:05}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500)
