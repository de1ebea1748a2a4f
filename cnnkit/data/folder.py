"""The user's own images: a folder a class."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn

from cnnkit.data.arguments import check_store_size, find_mean_and_std
from cnnkit.data.batches import Batches
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.file_checks import EarlyImages, count_cores
from cnnkit.data.folders.assignment import SplitSettings
from cnnkit.data.folders.changes import match_classes, refuse_other_settings
from cnnkit.data.folders.checked_images import UNREADABLE
from cnnkit.data.folders.contents import DEFAULT_SIZE, FolderContents, load_contents
from cnnkit.data.folders.decoded_images import DecodedImageStore, use_decoded_images
from cnnkit.data.folders.folder_images import PARTS, LabeledImage
from cnnkit.data.folders.layout import recognize_layout
from cnnkit.data.folders.run_split import get_followed_run
from cnnkit.data.image_files import ImageFiles, measure_free_memory
from cnnkit.data.images.decode import Resize, describe_decoder, read_image
from cnnkit.data.sampling import Sampling
from cnnkit.data.store import Store
from cnnkit.errors import UserError
from cnnkit.notices import printable
from cnnkit.sizes import ImageSize, as_height_width
from cnnkit.transforms import AlternatingFlip, Mix, RandomCrop, Transform, build_preset
from cnnkit.transforms.presets import Preset


class ImageFolder(ImageDataModule):
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
        self.root, self.size = Path(root), as_height_width(image_size)
        self.resize, self.on_bad_image, self.max_pixels, self.cache = resize, on_bad_image, max_pixels, cache
        self._settings = SplitSettings(val_size, test_size, split_seed, train_fraction, folds, fold)
        self.layout, self.followed = recognize_layout(self.root), get_followed_run()
        self._class_names = self.layout.class_names
        if self.followed is not None:
            refuse_other_settings(self.followed.split, asdict(self._settings))
            self._class_names = match_classes(self.layout, self.followed.split)
        self.in_channels, self.num_classes = channels, len(self._class_names)
        self.image_size = image_size if isinstance(image_size, int) else self.size
        self.mean, self.std = find_mean_and_std(mean, std, channels)
        self.store_size = check_store_size(store_size, self.size)
        self.contents: FolderContents | None = None
        self._early: EarlyImages | None = None
        self._decoded_for: Literal["", "evaluation", "train"] = ""
        super().__init__(
            batch_size=batch_size,
            augment=augment,
            data_dir=data_dir,
            val_size=1 if "val" in self.layout.folders else math.ceil(val_size),  # until `setup` has counted
            train_fraction=train_fraction,
            split_seed=split_seed,
            seed=seed,
            eval_batch_size=eval_batch_size,
            num_workers=min(count_cores() - 1, 16) if num_workers is None else num_workers,
            drop_last=drop_last,
            folds=folds,
            fold=fold,
            sampling=sampling,
        )
        if self.store_size is not None:
            self.augmentation.set_size(self.size)

    def default_augment(self) -> list[Transform | Mix]:
        """Shifts by an eighth of the shorter side with reflected borders, and flips; ``light`` with ``store_size``."""
        shifts = RandomCrop(padding=min(self.size) // 8, mode="reflect")
        return build_preset("light") if self.store_size is not None else [shifts, AlternatingFlip()]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the class folders, sorted."""
        return self._class_names

    def prepare_data(self) -> None:
        """Check the files; unless they are only to be scored, also decode them, in one process a node."""
        fits = self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING
        self.setup("fit" if fits else "test")
        self._use_decoded(self.open_once(), write=fits)

    def setup(self, stage: str | None = None) -> None:
        """List and check the files, and draw the parts without a folder; a second call does nothing.

        For ``fit``, or without a stage, files that must be decoded to be checked are decoded as training needs them.
        """
        if self.store is None:
            if self.cache in ("auto", "disk") and stage in ("fit", None):
                self._early = EarlyImages(partial(read_image, **self._decoding(self.size)), measure_free_memory() // 4)
            self.store = self.open()

    def open(self) -> Store:
        """Present the files as arrays: training images, then validation images; and the test images."""
        contents = self.contents = load_contents(
            self.layout,
            self._class_names,
            self._settings,
            self.data_dir / ".cnnkit",
            max_pixels=self.max_pixels,
            on_bad_image=self.on_bad_image,
            pixels=(self.in_channels, self.size, self.resize),
            followed=self.followed,
            early=self._early,
        )
        train, val, test = (contents.images.parts[part] for part in PARTS)
        self.train_indices = torch.tensor(contents.used, dtype=torch.bool).nonzero().flatten()
        self.val_indices = torch.arange(len(train), len(train) + len(val))
        self.val_size = len(val)
        return Store(
            name=self.root.name,
            train_images=self._open_images([*train, *val], self.size),
            train_labels=torch.tensor([image.label for image in (*train, *val)], dtype=torch.int64),
            test_images=self._open_images(test, self.size),
            test_labels=torch.tensor([image.label for image in test], dtype=torch.int64),
            class_names=self._class_names,
            fingerprint=contents.split.settings["fingerprint"],
            provenance={"root": str(self.root)},
            large_images=self._open_images(train, self.store_size) if self.store_size else None,
        )

    def describe(self) -> dict[str, Any]:
        """Add the counts by part and class, the copies and the files left out."""
        contents, facts = self._load_contents(), super().describe()
        return {
            **facts,
            "split": contents.split.digest(),
            "root": printable(self.root),
            "skipped_images": contents.images.left_out.get(UNREADABLE, 0),
            "classes": contents.count_classes(),
            "copies": contents.images.copies,
            "left_out": contents.images.left_out,
            "decoder": describe_decoder(),
        }

    def save_split(self, path: Path) -> None:
        """Write the part of each image to a file, for `cnnkit.data.folders.run_split.follow_split`."""
        self._load_contents().split.save(path)

    def test_identities(self) -> list[str]:
        """Return a hash of each test image's content, 16 hex digits, so that other names do not matter."""
        return [image.content for image in self._load_contents().images.parts["test"]]

    def test_dataloader(self) -> Batches:
        """The test images in order, all of them."""
        if not len(self.open_once().test_labels):
            trained = " that the run was not trained on" if self.followed else ""
            other = "" if self.followed else ", or set data.test_size"
            raise UserError(f"{self.root}: there are no test images; add some{trained} as {self.root / 'test'}{other}")
        return super().test_dataloader()

    def _batches(self, part: Literal["train", "val", "test"], batch_size: int, **options: bool) -> Batches:
        store, ranks = self.open_once(), self.trainer.world_size if self.trainer else 1
        self._use_decoded(store, write=part == "train")
        files = [i for i in (store.train_images, store.test_images, store.large_images) if isinstance(i, ImageFiles)]
        room = math.inf if self.cache == "memory" else measure_free_memory() // 2 // ranks
        if self.cache != "none" and (any(images.keeps for images in files) or sum(i.nbytes for i in files) <= room):
            for images in files:
                images.start_keeping()
        return super()._batches(part, batch_size, **options)

    def _use_decoded(self, store: Store, write: bool) -> None:
        """Take images from the disk if they are there; to train, put them there."""
        if self.cache in ("memory", "none") or self._decoded_for == "train" or (self._decoded_for and not write):
            return
        self._decoded_for = "train" if write else "evaluation"
        train, val, test = (self._load_contents().images.parts[part] for part in PARTS)
        images = [(store.train_images, [*train, *val]), (store.test_images, test)]
        early = self._early.images if self._early else {}
        use_decoded_images(self._find_place(self.size), images, write, self.cache == "auto", early)
        self._early = None
        if self.store_size is not None and write:
            place, large = self._find_place(self.store_size), [(store.large_images, train)]
            use_decoded_images(place, large, write, self.cache == "auto", {})

    def _find_place(self, size: tuple[int, int]) -> DecodedImageStore:
        """Where decoded images of a size are kept."""
        shape, settings = (self.in_channels, *size), f"{self._decoding(size)} {describe_decoder()}"
        decode = partial(read_image, **self._decoding(size))
        return DecodedImageStore(self.data_dir / ".cnnkit" / "pixels", self.root, shape, decode, settings)

    def _open_images(self, images: Sequence[LabeledImage], size: tuple[int, int]) -> ImageFiles:
        return ImageFiles([image.file for image in images], **self._decoding(size), strict=self.on_bad_image == "error")

    def _decoding(self, size: tuple[int, int]) -> dict[str, Any]:
        return {"channels": self.in_channels, "size": size, "resize": self.resize, "max_pixels": self.max_pixels}

    def _load_contents(self) -> FolderContents:
        self.setup("test")
        assert self.contents is not None
        return self.contents
