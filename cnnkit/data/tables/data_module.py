"""The user's own images: a row of a table each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from cnnkit.data.file_module import ImageFileModule
from cnnkit.data.folders.assignment import SplitSettings
from cnnkit.data.folders.changes import refuse_other_settings
from cnnkit.data.folders.contents import DEFAULT_SIZE
from cnnkit.data.folders.folder_images import PARTS, LabeledImage
from cnnkit.data.folders.run_split import get_followed_run
from cnnkit.data.images.decode import Resize
from cnnkit.data.sampling import Sampling
from cnnkit.data.store import Store, find_data_dir
from cnnkit.data.tables.columns import choose_columns
from cnnkit.data.tables.labels import hot_labels
from cnnkit.data.tables.reading import open_table
from cnnkit.data.tables.source import TableSource
from cnnkit.notices import say
from cnnkit.sizes import ImageSize
from cnnkit.transforms import Mix, Transform
from cnnkit.transforms.presets import Preset


class ImageTable(ImageFileModule):
    """The user's own images: a CSV or Parquet file with a row an image, or a folder of Parquet shards.

    A row has a path or the bytes of an image, a label or several, and if you like its part (train, val or test) and its
    group. A group, such as a patient or a camera, never is in two parts. Columns with usual names are found. A part
    that the table does not say is drawn from the training images, stratified. Images are treated as those of
    ImageFolder.

    Args:
        table: the file, or the folder of files that are named train-*, validation-* and test-*.
        image_column: paths, or bytes; ``auto``: the column with a usual name, such as path or image.
        label_column: names or integers, or lists of them; several columns of 0 and 1: one for each class.
        split_column: train, val or test; ``none``: no such column.
        group_column: images of a group share a part; ``none``: no such column.
        label_separator: between the labels of a cell in CSV files, such as ``|``; ``''``: a cell is one label.
        root: folder of the paths; none given: that of the table.
        image_size: pixels, one number or (height, width).
        channels: 3 for color, 1 for gray.
        resize: how images get that size: ``crop`` keeps the center, ``squash`` changes the aspect ratio, ``pad`` adds
            black borders.
        store_size: of training images before ``RandomResizedCrop``, at most twice ``image_size``; none given: that.
        val_size: number (5) or fraction (0.1) of all images to validate on; ignored if the table says them.
        test_size: the same for test images; ignored if the table says them.
        on_bad_image: ``error`` stops before training if a file cannot be read; ``skip`` leaves it out and says how
            many were left out.
        max_pixels: images with more pixels count as unreadable, and are not decoded.
        cache: where decoded images are kept, see ImageFolder.
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
        UserError: the table is missing, damaged or not clear.
    """

    def __init__(
        self,
        table: str,
        image_column: str = "auto",
        label_column: str | list[str] = "auto",
        split_column: str | None = "auto",
        group_column: str | None = "auto",
        label_separator: str | None = None,
        root: str | None = None,
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
        followed = get_followed_run()
        settings = SplitSettings(val_size, test_size, split_seed, train_fraction, folds, fold)
        if followed is not None:
            refuse_other_settings(followed.split, asdict(settings))
        opened = open_table(Path(table))
        self.columns = choose_columns(opened, image_column, label_column, split_column, group_column)
        embedded = find_data_dir(data_dir) / ".cnnkit" / "embedded"
        folder = Path(root) if root is not None else opened.folder
        run = followed.split if followed is not None else None
        self.table = TableSource(opened, self.columns, folder, embedded, label_separator, run)
        self.multilabel = self.table.labels.multilabel
        super().__init__(
            opened.path,
            self.table,
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

    def make_labels(self, images: Sequence[LabeledImage]) -> Tensor:
        """Return the labels of some images: int64 (N,), or with several labels an image float32 (N, K), 0 or 1."""
        if not self.multilabel:
            return super().make_labels(images)
        return hot_labels(self.table.label_sets, self.num_classes)[[image.label for image in images]]

    def open(self) -> Store:
        """Present the images as arrays, and say how many groups each part has."""
        store = super().open()
        if groups := self._count_groups():
            counts = ", ".join(f"{count:,} {part}" for part, count in groups.items())
            say(f"{self.root}: groups ({self.columns.group}): {counts}; none is in two parts")
        return store

    def describe(self) -> dict[str, Any]:
        """Add the columns, and the number of groups in each part."""
        columns = {key: value for key, value in asdict(self.columns).items() if key != "detected"}
        self.setup("test")
        groups = self._count_groups()
        more = {"groups": groups} if groups else {}
        return {**super().describe(), "columns": columns, "multilabel": self.multilabel, **more}

    def _count_groups(self) -> dict[str, int]:
        parts = self.contents.images.parts if self.contents is not None else {}
        groups = {(part, image.group) for part in PARTS for image in parts.get(part, ()) if image.group}
        return dict(Counter(part for part in PARTS for each, _ in groups if each == part))
