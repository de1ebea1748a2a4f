"""Folders of small images laid out as people have them, and the words that train on one in a second."""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = [
    *("--data=ImageFolder", "--data.data_dir=data", "--data.image_size=16", "--data.batch_size=4"),
    *("--data.num_workers=0", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"),
    *("--watch=null", "--model.net.channels=[4,4]", "--name=r"),
]


def lay(files: list[str], *texts: str) -> None:
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(zlib.crc32(file.encode())).integers(0, 255, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    for file in texts:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("words\n")
