"""``trainer.overfit_batches``: the same few batches in every epoch, as they are, for training and for validation."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from small_runs import SMALL, Cli
from torch import Tensor

from cnnkit import CNN, ClassificationTask, FashionMNISTSample, TransferTask
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.folder import ImageFolder
from cnnkit.runs import find
from cnnkit.transforms import MixUp, RandomCrop

pytestmark = pytest.mark.filterwarnings("ignore")


class Look(Callback):
    """What the net was given, epoch by epoch."""

    def __init__(self) -> None:
        self.train: list[list[Tensor]] = []
        self.val: list[list[Tensor]] = []

    def on_train_epoch_start(self, *args: Any) -> None:
        self.train.append([])
        self.val.append([])

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.train[-1].append(batch[0].clone())

    def on_validation_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, *args: Any) -> None:
        self.val[-1].append(batch[0].clone())


def fit(task: L.LightningModule, data: ImageDataModule, amount: float) -> Look:
    look = Look()
    quiet = {"logger": False, "enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    L.Trainer(
        accelerator="cpu", max_epochs=3, overfit_batches=amount, callbacks=[look], enable_checkpointing=False, **quiet
    ).fit(task, datamodule=data)
    return look


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def check(look: Look, batches: int) -> None:
    assert len(look.train) == len(look.val) == 3
    for train, val in zip(look.train, look.val, strict=True):
        assert len(train) == batches
        assert same(train, look.train[0])
        assert same(val, look.train[0])


def sample(**kwargs: Any) -> FashionMNISTSample:
    augment = [RandomCrop(4), MixUp()]
    return FashionMNISTSample(batch_size=16, eval_batch_size=10, augment=augment, train_fraction=0.02, **kwargs)


@pytest.mark.parametrize(("amount", "batches"), [(1, 1), (3, 3), (0.5, 4)])
@pytest.mark.parametrize("kwargs", [{}, {"num_workers": 2}, {"val_size": 0}])
def test_images_in_memory(amount: float, batches: int, kwargs: dict[str, Any]) -> None:
    data = sample(**kwargs)
    data.setup()
    available = len(data.train_indices) // 16
    batches = batches if isinstance(amount, int) else int(available * amount)
    look = fit(ClassificationTask(CNN(1, 10, 28, channels=(4,))), data, amount)
    check(look, batches)
    assert data.store is not None
    everything = data.augmentation.normalize(data.store.train_images[data.train_indices])
    first = look.train[0][0]
    rows = {row.numpy().tobytes() for row in everything}
    assert all(image.contiguous().numpy().tobytes() in rows for image in first), "not augmented, not mixed"
    labels = data.store.train_labels[data.train_indices]
    assert len(labels.unique()) == 10
    plain = everything[:16]
    assert not torch.equal(first, plain), "drawn from all classes, not the first of the list"


def test_without_it_batches_differ() -> None:
    look = fit(ClassificationTask(CNN(1, 10, 28, channels=(4,))), sample(), 0)
    assert not same(look.train[0], look.train[1])


def folder(place: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for label in range(2):
        (place / str(label)).mkdir(parents=True)
        for number in range(20):
            pixels = torch.randint(0, 256, (16, 16, 3), generator=generator, dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(place / str(label) / f"{number}.png")
    return place


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_image_files(tmp_path: Path, workers: int, cache: Any) -> None:
    data = ImageFolder(
        str(folder(tmp_path / "f")),
        image_size=16,
        batch_size=8,
        num_workers=workers,
        cache=cache,
        data_dir=str(tmp_path),
    )
    check(fit(ClassificationTask(CNN(3, 2, 16, channels=(4,))), data, 2), 2)


def test_embeddings(tmp_path: Path) -> None:
    net = CNN(1, 10, 28, channels=(4, 8), hidden_sizes=())
    task = TransferTask(net, mode="embeddings", cache_dir=str(tmp_path))
    look = fit(task, sample(), 2)
    check(look, 2)
    assert look.train[0][0].ndim == 2


def test_the_command_says_so_in_one_line(cli: Cli) -> None:
    words = [word for word in SMALL if not word.startswith("--trainer.limit_train")]
    ended = cli("fit", *words, "--trainer.overfit_batches=2", "--data.val_size=0")
    assert ended.code == 0, ended.err
    assert ended.out.count("the same 2 training batches every epoch, not augmented; validates on them") == 1
    assert "turning off" not in ended.err
    assert "best validation accuracy" in ended.out


def test_such_a_run_is_scored_on_all_validation_images(cli: Cli) -> None:
    words = [word for word in SMALL if not word.startswith("--trainer.limit_train")]
    assert cli("fit", *words, "--trainer.overfit_batches=1", "--data.val_size=100").code == 0
    run = find("runs")
    described = run.manifest()["data"]
    assert (described["overfit_batches"], described["augment"]) == (1, [])
    assert cli("validate", "--run", str(run)).code == 0
    task = ClassificationTask.load_from_checkpoint(run.best).eval()
    data = FashionMNISTSample(val_size=100)
    images, labels = (torch.cat(column) for column in zip(*data.plain_batches("val"), strict=True))
    with torch.no_grad():
        expected = (task(images).argmax(1) == labels).float().mean()
    assert run.manifest()["validate"]["val/acc"] == pytest.approx(float(expected))
    assert cli("validate", "--run", str(run), "--trainer.overfit_batches=1").code == 2


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "64-true"])
def test_images_come_in_the_trainers_precision(precision: Any) -> None:
    quiet = {"logger": False, "enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    limits = {"limit_train_batches": 1, "limit_val_batches": 1, "max_epochs": 1}
    sgd = partial(torch.optim.SGD, lr=0.1)  # the epsilon of Adam is 0 in float16
    task = ClassificationTask(CNN(1, 10, 28, channels=(4,)), optimizer=sgd)
    L.Trainer(accelerator="cpu", precision=precision, enable_checkpointing=False, **limits, **quiet).fit(task, sample())
