"""Arrays in memory by a hash of their content, so that a configuration can name the data of `from_arrays`."""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar
from weakref import WeakSet

import numpy as np

from cnnkit.config_files.scalars import as_word
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.folders.contents import DEFAULT_SIZE
from cnnkit.data.sampling import Sampling
from cnnkit.errors import UserError
from cnnkit.recorded import Call, read_call, record_call
from cnnkit.transforms import Mix, Transform
from cnnkit.transforms.presets import Preset

_Data = TypeVar("_Data", bound=ImageDataModule)
_HELD: WeakSet[ImageDataModule] = WeakSet()


def find_arrays(
    arrays: str,
    val_size: int | float = DEFAULT_SIZE,
    test_size: int | float = DEFAULT_SIZE,
    split_seed: int = 0,
    train_fraction: float = 1.0,
    folds: int | None = None,
    fold: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 128,
    augment: Sequence[Transform | Mix] | Preset | None = None,
    seed: int | None = None,
    eval_batch_size: int = 1000,
    num_workers: int = 0,
    resident: Literal["auto", "device", "host"] = "auto",
    drop_last: bool = True,
    sampling: Sampling = "shuffle",
    imbalance_ratio: float | None = None,
) -> ImageDataModule:
    """Find the data that `from_arrays` has made in this process; they are used as they are.

    Args:
        arrays: hash of images, labels and parts.
        val_size: as for `from_arrays`, which has made the data with it.
        test_size: likewise.
        split_seed: likewise.
        train_fraction: likewise.
        folds: likewise.
        fold: likewise.
        mean: likewise.
        std: likewise.
        batch_size: likewise.
        augment: likewise.
        seed: likewise.
        eval_batch_size: likewise.
        num_workers: likewise.
        resident: likewise.
        drop_last: likewise.
        sampling: likewise.
        imbalance_ratio: likewise.

    Raises:
        UserError: the arrays are not in memory, or their data were made with other arguments.
    """
    wanted = {name: _as_plain(value) for name, value in locals().items()}
    held = [call.kwargs for data in _HELD if (call := read_call(data)) and call.kwargs["arrays"] == arrays]
    if not held:
        raise UserError(
            f"the images were NumPy arrays in memory ({arrays}), and no file has them: in Python, make them again with "
            "cnnkit.from_arrays; cnnkit.TrainedRun(run).test() and cnnkit.fit(resume=run) find them then"
        )
    for data in _HELD:
        call = read_call(data)
        if call is not None and {**_DEFAULTS, **_as_plain(call.kwargs)} == wanted:
            return data
    made = {**_DEFAULTS, **_as_plain(held[-1])}
    name = next(name for name in wanted if wanted[name] != made[name])
    raise UserError(
        f"{name} is {as_word(wanted[name])}, but the arrays in memory were made into data with {as_word(made[name])}: "
        f"give it to cnnkit.from_arrays"
    )


_DEFAULTS = {n: p.default for n, p in inspect.signature(find_arrays).parameters.items() if p.default is not p.empty}


def hold(data: _Data, facts: Sequence[Any], options: Mapping[str, Any]) -> _Data:
    """Let `find_arrays` find the data as long as they are in use, and let a configuration describe them.

    Args:
        data: made by `from_arrays`.
        facts: what the data depend on besides their images and labels.
        options: arguments of `find_arrays` that are not the defaults.
    """
    text = repr([data.open().fingerprint, *facts])
    given = {name: value for name, value in options.items() if value is not _DEFAULTS.get(name, value)}
    record_call(data, Call(find_arrays, (), {"arrays": hashlib.sha256(text.encode()).hexdigest()[:16], **given}))
    data.setup()  # takes no time, and a notebook shows the images
    _HELD.add(data)
    return data


def _as_plain(value: Any) -> Any:
    """Make values of Python and of a configuration comparable."""
    if isinstance(value, Mapping):
        return {name: _as_plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return repr(value) if isinstance(value, (Transform, Mix)) else value
