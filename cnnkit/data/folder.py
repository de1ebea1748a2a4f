"""The user's own images: a folder a class."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from cnnkit.data.file_module import ImageFileModule
from cnnkit.data.folders.assignment import SplitSettings
from cnnkit.data.folders.changes import match_classes, refuse_other_settings
from cnnkit.data.folders.contents import DEFAULT_SIZE, FolderSource
from cnnkit.data.folders.layout import recognize_layout
from cnnkit.data.folders.run_split import get_followed_run
from cnnkit.data.images.decode import Resize
from cnnkit.data.sampling import Sampling
from cnnkit.sizes import ImageSize
from cnnkit.transforms import Mix, Transform
from cnnkit.transforms.presets import Preset


class ImageFolder(ImageFileModule):
    """The user's own images: ``root/<class>/*``, or ``root/train/<class>/*`` with ``root/val`` and ``root/test``.

    The classes are the names of the folders, sorted. A part without a folder of its own is drawn from the training
    images, stratified. Images are scaled to one size and decoded once; then they stay on disk if there is room.

    Args:
        root: the folder.
        image_size: pixels, one number or (height, width).
        channels: 3 for color, 1 for gray.
        resize: ``crop`` keeps the center, ``squash`` changes the aspect ratio, ``pad`` adds black borders.
        store_size: of training images before ``RandomResizedCrop``, at most twice ``image_size``; none given: that.
        val_size: number (5) or fraction (0.1) of all images to validate on; ignored if there is ``root/val``.
        test_size: the same for test images; ignored if there is ``root/test``.
        on_bad_image: ``error`` stops before training if a file cannot be read; ``skip`` leaves it out, with a note.
        max_pixels: images with more pixels count as unreadable, and are not decoded.
        cache: where decoded images are kept: ``disk`` in a file that is mapped into memory, for later runs as well;
            ``memory``; ``none``. ``auto``: on the disk if it has room, else in memory if that has room.
        mean: of the pixels in [0, 1], one number a channel; none given: that of ImageNet.
        std: the same for the standard deviation.
        batch_size: images a training step, over all ranks together.
        augment: transforms of training images, in order, or a preset; none given: see `default_augment`; ``[]``: none.
        data_dir: folder for the records of checks and splits; none given: ``$CNNKIT_DATA_DIR``, else ``data``.
        train_fraction: fraction of the remaining training images to train on; the other parts stay the same.
        split_seed: names the split. Not the run's seed: runs with different seeds share their split.
        seed: of order and augmentation; none given: the run's ``seed_everything``.
        eval_batch_size: images a step in validation and test.
        num_workers: processes that decode; none given: the number of cores minus one, at most 16.
        drop_last: leave out the incomplete last batch of a training epoch (another one each epoch).
        folds: divide the images that are not for test into stratified folds; one validates in place of ``val_size``.
        fold: the fold that validates, from 0.
        sampling: ``balanced``: each class has equally many of the images of an epoch, see `ImageDataModule`.

    Raises:
        UserError: if the folder is missing, or has another layout.
    """

    def __init__(
        self,
        root: str,
        image_size: ImageSize = 64,
        channels: Literal[3, 1] = 3,
        resize: Resize = "crop",
        val_size: int | float = DEFAULT_SIZE,
        test_size: int | float = DEFAULT_SIZE,
        on_bad_image: Literal["error", "skip"] = "error",
        max_pixels: int = 64_000_000,
        cache: Literal["auto", "disk", "memory", "none"] = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 32,
        augment: Sequence[Transform | Mix] | Preset | None = None,
        data_dir: str | None = None,
        train_fraction: float = 1.0,
        split_seed: int = 0,
        seed: int | None = None,
        eval_batch_size: int = 256,
        num_workers: int | None = None,
        drop_last: bool = True,
        store_size: ImageSize | None = None,
        folds: int | None = None,
        fold: int = 0,
        sampling: Sampling = "shuffle",
    ) -> None:
        self.layout, followed = recognize_layout(Path(root)), get_followed_run()
        settings = SplitSettings(val_size, test_size, split_seed, train_fraction, folds, fold)
        class_names = self.layout.class_names  # those of the folders, sorted
        if followed is not None:
            refuse_other_settings(followed.split, asdict(settings))
            class_names = match_classes(self.layout, followed.split)
        super().__init__(
            Path(root),
            FolderSource(self.layout, class_names),
            settings,
            followed,
            image_size=image_size,
            channels=channels,
            resize=resize,
            on_bad_image=on_bad_image,
            max_pixels=max_pixels,
            cache=cache,
            mean=mean,
            std=std,
            store_size=store_size,
            num_workers=num_workers,
            batch_size=batch_size,
            augment=augment,
            data_dir=data_dir,
            seed=seed,
            eval_batch_size=eval_batch_size,
            drop_last=drop_last,
            folds=folds,
            fold=fold,
            sampling=sampling,
        )
