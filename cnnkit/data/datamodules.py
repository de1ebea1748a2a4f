"""The base of all data modules: a store, its split, batches and augmentation."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import lightning as L
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from cnnkit.data.arguments import check_at_least, check_share, check_training_part
from cnnkit.data.batches import Batch, Batches
from cnnkit.data.descriptions import describe_counts, describe_data, describe_preprocessing, draw_html
from cnnkit.data.loaders import Loaders, find_device
from cnnkit.data.sampling import Sampling
from cnnkit.data.splits import divide
from cnnkit.data.store import Store, find_data_dir
from cnnkit.randomness import Counter
from cnnkit.recorded import Recorded
from cnnkit.sizes import as_height_width
from cnnkit.transforms import Augment, Mix, Normalize, Transform, build_transforms
from cnnkit.transforms.presets import Preset


class ImageDataModule(Recorded, L.LightningDataModule):
    """Images in memory, batched by index and augmented on the device.

    A subclass has a few constants and `open`. Batches reach the task as ``(images, labels)``: float32
    normalized images (B, C, H, W) in channels_last, int64 labels (B,), or soft labels (B, K) after MixUp or CutMix.

    Args:
        batch_size: images a training step, over all ranks together.
        augment: transforms of training images, in order, or a preset; none given: the usual ones; ``[]``: none.
        data_dir: folder of the originals and the store; none given: ``$CNNKIT_DATA_DIR``, else ``data``.
        mirror: another folder that holds the originals, read only.
        val_size: number of validation images, taken from the training set, stratified.
        train_fraction: fraction of the remaining training images to train on; the validation images stay the same.
        split_seed: names the validation split. Not the run's seed: runs with different seeds share their split.
        seed: of order and augmentation; none given: the run's ``seed_everything``.
        eval_batch_size: images a step in validation and test.
        num_workers: processes that gather batches ahead; 0 is fastest for images in memory.
        resident: keep the images on the GPU: ``auto`` if there is one with room to spare.
        drop_last: leave out the incomplete last batch of a training epoch (another one each epoch).
        folds: divide the training set into stratified folds, of which one validates in place of ``val_size`` images.
        fold: the fold that validates, from 0.
        sampling: ``balanced``: each class has equally many of the images of an epoch, whose number stays the same;
            images of small classes come several times, those of large ones not in every epoch.
        imbalance_ratio: thin the training classes to an exponential long tail (Cao et al. 2019): the first class keeps
            all images, the last this many times fewer. The other parts stay whole.
    """

    in_channels: int
    num_classes: int
    image_size: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    multilabel = False  # True: labels are float32 (B, K), 1 for each class that an image has

    def __init__(
        self,
        batch_size: int = 128,
        augment: Sequence[Transform | Mix] | Preset | None = None,
        data_dir: str | None = None,
        mirror: str | None = None,
        val_size: int = 5000,
        train_fraction: float = 1.0,
        split_seed: int = 0,
        seed: int | None = None,
        eval_batch_size: int = 1000,
        num_workers: int = 0,
        resident: Literal["auto", "device", "host"] = "auto",
        drop_last: bool = True,
        folds: int | None = None,
        fold: int = 0,
        sampling: Sampling = "shuffle",
        imbalance_ratio: float | None = None,
    ) -> None:
        super().__init__()
        check_at_least(1, batch_size=batch_size, eval_batch_size=eval_batch_size)
        check_at_least(0, val_size=val_size, num_workers=num_workers, split_seed=split_seed)
        check_share(train_fraction=train_fraction)
        check_training_part(folds, fold, sampling, imbalance_ratio)
        self.train_indices = self.val_indices = torch.empty(0, dtype=torch.int64)
        self.batch_size, self.eval_batch_size, self.drop_last = batch_size, eval_batch_size, drop_last
        self.num_workers = num_workers
        self.data_dir, self.mirror = find_data_dir(data_dir), mirror
        self.val_size = val_size if folds is None else max(1, val_size)  # until `setup` has counted
        self.folds, self.fold, self.sampling, self.imbalance_ratio = folds, fold, sampling, imbalance_ratio
        self.train_fraction, self.split_seed, self.seed = train_fraction, split_seed, seed
        self.augmentation = Augment(build_transforms(augment, self.default_augment), Normalize(self.mean, self.std))
        self.augmentation.check_images(self.in_channels, as_height_width(self.image_size))
        self.store: Store | None = None
        self._loaders = Loaders(resident)

    def default_augment(self) -> list[Transform | Mix]:
        """Return the transforms that are used when none are given."""
        return []

    def open(self) -> Store:
        """Load the arrays; called once on each node first, then in every process."""
        raise NotImplementedError

    @property
    def batch_size(self) -> int:
        """Images a training step, over all ranks; a tuner cannot set more than there are training images."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._batch_size = min(size, len(self.train_indices)) if len(self.train_indices) else size

    @property
    def shape(self) -> dict[str, Any]:
        """The arguments that every net takes, ``CNN(**data.shape)``: channels, classes and image size."""
        return {"in_channels": self.in_channels, "num_classes": self.num_classes, "image_size": self.image_size}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their labels."""
        return self.open_once().class_names

    def __repr__(self) -> str:
        return describe_counts(self)

    __str__ = __repr__  # Lightning's knows loaders of its own kind alone

    def _repr_html_(self) -> str:
        return draw_html(self)

    def prepare_data(self) -> None:
        self.open()

    def setup(self, stage: str | None = None) -> None:
        """Open the store and split off the validation images; a second call does nothing."""
        if self.store is None:
            self.store = self.open()
            self.train_indices, self.val_indices = divide(self, self.store.train_labels)
            self.val_size = len(self.val_indices)

    def describe(self) -> dict[str, Any]:
        """Describe the data for a manifest."""
        return describe_data(self)

    def preprocessing(self) -> dict[str, Any]:
        """Describe, in plain values for a checkpoint, how images become inputs of the net."""
        return describe_preprocessing(self)

    def count_classes(self) -> list[int]:
        """Count the images to train on by class, in the order of the labels."""
        labels = self.open_once().train_labels[self.train_indices]
        counts = labels.sum(0) if labels.ndim == 2 else torch.bincount(labels, minlength=self.num_classes)
        return counts.tolist()

    @property
    def overfits(self) -> bool:
        """Whether the trainer is to fit a few batches as a test of the net (``trainer.overfit_batches``)."""
        trainer: Any = self.trainer
        return trainer is not None and trainer.state.fn in (None, TrainerFn.FITTING) and trainer.overfit_batches > 0

    @property
    def run_seed(self) -> int:
        """The seed of order and augmentation."""
        return int(os.environ.get("PL_GLOBAL_SEED", 0)) if self.seed is None else self.seed

    def train_dataloader(self) -> Batches:
        """Shuffled training batches; with ``trainer.overfit_batches`` the same ones in every epoch, not augmented."""
        self.setup()
        if self.overfits:
            rank_zero_info("overfit_batches: the same batches every epoch, not augmented; validates on them")
        options = {"shuffle": True, "balanced": self.sampling == "balanced", "drop_last": self.drop_last}
        return self._batches("train", self.batch_size, repeat=self.overfits, **options)

    def val_dataloader(self) -> Batches | list[Batches]:
        """The validation images in order; none for ``val_size: 0``, with ``overfit_batches`` the training batches."""
        self.setup()
        if self.overfits:
            return self.train_dataloader()
        return self._batches("val", self.eval_batch_size) if len(self.val_indices) else []

    def test_dataloader(self) -> Batches:
        """The official test set in order, all of it."""
        return self._batches("test", self.eval_batch_size)

    def predict_dataloader(self) -> Batches:
        return self.test_dataloader()

    def plain_batches(self, part: Literal["train", "val"]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all training or validation images once, in the split's order, as evaluation sees them.

        Yields:
            Normalized images (B, C, H, W) and labels (B,) on the device: this rank's part of each batch.
        """
        self.setup()
        indices = self.val_indices if part == "val" else self.train_indices
        for batch in self._batches(part, self.eval_batch_size) if len(indices) else ():
            yield self.prepare(move_data_to_device(batch, find_device(self.trainer)), training=False)

    def use_features(self, features: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Yield batches of features instead of images until the fit ends: of the same images in the same order.

        Args:
            features: ``train`` and ``val``, each features (N, D) and labels (N,) in the order of `plain_batches`.
        """
        self._loaders.use_features(features)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Uint8 on the device in, images and labels for the task out, in the trainer's precision."""
        prepared = self.prepare(batch, training=bool(self.trainer and self.trainer.training) and not self.overfits)
        return self.trainer.precision_plugin.convert_input(prepared) if self.trainer else prepared

    def prepare(self, batch: Any, training: bool) -> Any:
        """Scale, augment (training only), normalize and mix one `Batch`; anything else passes as it is."""
        if not isinstance(batch, Batch):
            return batch
        if batch.images.ndim == 2:  # features
            return batch.images, batch.labels
        if not training:
            return self.augmentation.normalize(batch.images), batch.labels
        counter = Counter(self.run_seed, batch.epoch, batch.draws)
        return self.augmentation(batch.images, batch.labels, counter, batch.number, self.num_classes)

    def teardown(self, stage: str) -> None:
        """Free the GPU's memory and end the worker processes."""
        self._loaders.clear()

    def on_exception(self, exception: BaseException) -> None:
        """End the worker processes; Lightning tears nothing down then."""
        self._loaders.end_workers()

    def open_once(self) -> Store:
        """Return the arrays, after `setup`."""
        self.setup()
        assert self.store is not None
        return self.store

    def _batches(self, part: Literal["train", "val", "test"], batch_size: int, **options: Any) -> Batches:
        """Batches of a part for this rank, of its features where `use_features` has given some."""
        store = self.open_once()
        name, arrays = store.select(part, augmented=options.get("shuffle", False) and not options.get("repeat", False))
        tests = torch.arange(len(store.test_labels))
        indices = {"train": self.train_indices, "val": self.val_indices, "test": tests}[part]
        self.augmentation.to(find_device(self.trainer))
        options |= {"seed": self.run_seed, "num_workers": self.num_workers}
        return self._loaders.make(part, name, arrays, indices, batch_size, self.trainer, **options)
