"""Write some of CIFAR-10's training images, and all test images, as an image folder: a data set of one's own to try.

python experiments/transfer/make_folder.py FOLDER [images of each class]
"""

import sys
from pathlib import Path

import torch
from torchvision.io import write_png

from cnnkit import CIFAR10


def main(folder: Path, of_each_class: int) -> None:
    """Write the folder, 32x32 PNGs by part and class."""
    data = CIFAR10(val_size=0)
    data.setup()
    store = data.store
    wanted = torch.cat([(store.train_labels == k).nonzero()[:of_each_class, 0] for k in range(10)])
    parts = {
        "train": (store.train_images[wanted], store.train_labels[wanted]),
        "test": (store.test_images, store.test_labels),
    }
    for part, (images, labels) in parts.items():
        for name in store.class_names:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            write_png(image, str(folder / part / store.class_names[label] / f"{number:05}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500)
