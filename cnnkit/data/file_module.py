"""The base of data modules whose images are files: checks, parts, decoded images on disk, batches."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from cnnkit.data.arguments import check_store_size, find_mean_and_std
from cnnkit.data.batches import Batches
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.file_checks import EarlyImages
from cnnkit.data.folders.assignment import SplitSettings
from cnnkit.data.folders.checked_images import UNREADABLE, OnBadImage
from cnnkit.data.folders.contents import FolderContents, ImageSource, load_contents
from cnnkit.data.folders.decoded_images import DecodedImageStore, use_decoded_images
from cnnkit.data.folders.folder_images import PARTS, LabeledImage
from cnnkit.data.folders.run_split import FollowedRun
from cnnkit.data.image_files import ImageFiles, measure_free_memory
from cnnkit.data.images.decode import Resize, describe_decoder, read_image
from cnnkit.data.splits import refuse_several_labels
from cnnkit.data.store import Store
from cnnkit.errors import UserError
from cnnkit.notices import printable
from cnnkit.sizes import ImageSize, as_height_width
from cnnkit.threads import count_usable_cores
from cnnkit.transforms import AlternatingFlip, Mix, RandomCrop, Transform, build_preset

Cache = Literal["auto", "disk", "memory", "none"]


class ImageFileModule(ImageDataModule):
    """Images in files, decoded once and kept; a subclass says which files there are.

    Args:
        root: the folder that the files belong to.
        source: lists the files with their labels.
        settings: of the split.
        followed: a run whose parts are kept.
        image_size: pixels, one number or (height, width).
        channels: 3 for color, 1 for gray.
        resize: see `read_image`.
        on_bad_image: see `ImageFolder`.
        max_pixels: images with more pixels count as unreadable.
        cache: see `ImageFolder`.
        mean: one number a channel; None: that of ImageNet.
        std: the same.
        store_size: see `ImageFolder`.
        num_workers: None: the number of cores minus one, at most 16.
        **options: as for ImageDataModule.
    """

    def __init__(
        self,
        root: Path,
        source: ImageSource,
        settings: SplitSettings,
        followed: FollowedRun | None,
        *,
        image_size: ImageSize,
        channels: int,
        resize: Resize,
        on_bad_image: OnBadImage,
        max_pixels: int,
        cache: Cache,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        store_size: ImageSize | None,
        num_workers: int | None,
        **options: Any,
    ) -> None:
        self.root, self.source, self.followed, self._settings = root, source, followed, settings
        self.size = as_height_width(image_size)
        self.resize, self.on_bad_image, self.max_pixels, self.cache = resize, on_bad_image, max_pixels, cache
        self.in_channels, self.num_classes = channels, len(self.class_names)
        self.image_size = image_size if isinstance(image_size, int) else self.size
        self.mean, self.std = find_mean_and_std(mean, std, channels)
        self.store_size = check_store_size(store_size, self.size)
        self.contents: FolderContents | None = None
        self._early: EarlyImages | None = None
        self._decoded_for: Literal["", "evaluation", "train"] = ""
        super().__init__(
            val_size=1 if "val" in source.own_parts else math.ceil(settings.val_size),  # until `setup` has counted
            train_fraction=settings.train_fraction,
            split_seed=settings.split_seed,
            num_workers=min(count_usable_cores() - 1, 16) if num_workers is None else num_workers,
            **options,
        )
        if self.store_size is not None and not self.augmentation.set_size(self.size):
            raise UserError(
                f"store_size is {store_size}, but augment has no RandomResizedCrop, the only use of larger images: "
                "leave out data.store_size, or add it to data.augment"
            )

    def default_augment(self) -> list[Transform | Mix]:
        """Shifts by an eighth of the shorter side with reflected borders, and flips; ``light`` with ``store_size``."""
        shifts = RandomCrop(padding=min(self.size) // 8, mode="reflect")
        return build_preset("light") if self.store_size is not None else [shifts, AlternatingFlip()]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their labels."""
        return self.source.class_names

    def make_labels(self, images: Sequence[LabeledImage]) -> Tensor:
        """Return the labels of some images, int64 (N,)."""
        return torch.tensor([image.label for image in images], dtype=torch.int64)

    def prepare_data(self) -> None:
        """Check the files; unless they are only to be scored, also decode them, in one process a node."""
        fits = self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING
        self.setup("fit" if fits else "test")
        self._use_decoded(self.open_once(), write=fits)

    def setup(self, stage: str | None = None) -> None:
        """List and check the files, and draw the parts that are not given; a second call does nothing.

        For ``fit``, or without a stage, files that must be decoded to be checked are decoded as training needs them.
        """
        if self.store is None:
            if self.cache in ("auto", "disk") and stage in ("fit", None):
                self._early = EarlyImages(partial(read_image, **self._decoding(self.size)), measure_free_memory() // 4)
            self.store = self.open()

    def open(self) -> Store:
        """Present the files as arrays: training images, then validation images; and the test images."""
        contents = self.contents = load_contents(
            self.source,
            self._settings,
            self.data_dir / ".cnnkit",
            max_pixels=self.max_pixels,
            on_bad_image=self.on_bad_image,
            pixels=(self.in_channels, self.size, self.resize),
            followed=self.followed,
            early=self._early,
        )
        train, val, test = (contents.images.parts[part] for part in PARTS)
        refuse_several_labels(self, self.make_labels(train))
        self.train_indices = torch.tensor(contents.used, dtype=torch.bool).nonzero().flatten()
        self.val_indices = torch.arange(len(train), len(train) + len(val))
        self.val_size = len(val)
        return Store(
            name=self.root.name,
            train_images=self._open_images([*train, *val], self.size),
            train_labels=self.make_labels([*train, *val]),
            test_images=self._open_images(test, self.size),
            test_labels=self.make_labels(test),
            class_names=self.class_names,
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
            "classes": contents.count_classes(self.class_names),
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
            raise UserError(self.source.explain_no_test(self.followed is not None))
        return super().test_dataloader()

    def _batches(self, part: Literal["train", "val", "test"], batch_size: int, **options: Any) -> Batches:
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
