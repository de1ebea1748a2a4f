"""What commands need beside a trained net: the test images of a run, the accelerator, a line of progress."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from cnnkit.cli.cores import use_free_cores
from cnnkit.config_files.cards import find_config
from cnnkit.errors import UserError
from cnnkit.inference.trained_net import find_device
from cnnkit.runs import RunFolder

if TYPE_CHECKING:
    from cnnkit.data import ImageDataModule

Module = TypeVar("Module", bound=nn.Module)


def move_to_accelerator(module: Module) -> Module:
    """A task or net on the machine's accelerator, if it has one; else the cores compute that others leave free."""
    if (device := find_device()).type == "cpu":
        use_free_cores()
    return module.to(device)


def find_configs(names: Sequence[str]) -> list[Path]:
    """The configuration files that ``--config`` names.

    Raises:
        UserError: one is missing or broken.
    """
    if not names:
        return []
    from cnnkit.cli.parsing.command_line import read_config

    return [read_config(find_config(name)).path for name in names]


def load_test_images(run: RunFolder, *, download: bool = True) -> Any:
    """The data module of a run, set up to test.

    Args:
        run: the run.
        download: whether missing files may be downloaded.

    Raises:
        UserError: the data cannot be opened, or the data module has no store of test images.
    """
    from cnnkit.cli.parsing.build import build_data  # imports Lightning

    data: Any = build_data(run)
    if not download:  # where there is a mirror, nothing is downloaded
        data.mirror = getattr(data, "mirror", None) or str(getattr(data, "data_dir", ""))
    data.setup("test")
    if getattr(data, "store", None) is None:
        raise UserError(f"{run}: {type(data).__name__} has no store to take test images from")
    return data


def load_validation_data(run: RunFolder, purpose: str) -> "ImageDataModule":
    """The data module of a run, set up, with the very images that validated it.

    Args:
        run: the run.
        purpose: what the images are for, as the middle of a sentence: ``a temperature is fitted on them``.

    Raises:
        UserError: there are none, or other ones.
    """
    from cnnkit.cli.parsing.build import build_data
    from cnnkit.data import ImageDataModule

    data = build_data(run)
    if not isinstance(data, ImageDataModule):
        raise UserError(f"{run}: {type(data).__name__} is no ImageDataModule, whose validation images are known")
    data.mirror = data.mirror or str(data.data_dir)  # where there is a mirror, nothing is downloaded
    data.setup()
    trained, here = run.manifest().get("data", {}), data.describe()
    if any(trained.get(key, here[key]) != here[key] for key in ("fingerprint", "split")):
        raise UserError(f"{run}: the data found are not those that the run was trained with; restore them")
    if not len(data.val_indices):
        raise UserError(
            f"{run}: has no validation images (data.val_size is 0); {purpose}, never on images of the training or the "
            "test: train with some"
        )
    return data


def track(items: Iterator[Any], total: int, what: str) -> Iterator[Any]:
    """With a line of progress, where there is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as track_progress

    yield from track_progress(items, what, total, console=Console(stderr=True), transient=True)
