"""Read checkpoints without running any code in them; a damaged one gives a one-line error."""

import contextlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.files import open_regular

# Without these Lightning cannot load a checkpoint at all, and without the others it cannot go on with the training.
NEEDED = ("state_dict", "epoch", "global_step", "pytorch-lightning_version")
NEEDED_TO_RESUME = (*NEEDED, "optimizer_states", "lr_schedulers", "loops")


class DamagedCheckpoint(UserError):
    """The file is damaged, or is not the checkpoint of a run; an older checkpoint may be good."""


def load_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint of a run without running any code in it.

    Raises:
        DamagedCheckpoint: the content is damaged, is not that of a run's checkpoint, or is more than tensors and
            plain values.
        UserError: the path is a URL, is missing, no file, or may not be read.
    """
    if "://" in str(path):
        raise UserError(f"{path}: checkpoints are read from local files only; download it first")
    try:
        with open_regular(path, "rb") as file:
            found = _load(file, map_location)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint{_others(Path(path))}") from None
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); it may be whole, so see to its permissions"
        ) from None
    except Exception as error:  # damage shows as nearly any kind
        unsafe = "weights_only" in str(error) or "Unsupported" in str(error)
        reason = "holds more than weights and plain values, and is not read" if unsafe else _describe_bytes(Path(path))
        raise DamagedCheckpoint(f"{path}: {reason}{_others(Path(path))}") from error
    check_keys(found, path, NEEDED)
    return found  # type: ignore[no-any-return]


def check_keys(found: Any, path: str | os.PathLike, needed: tuple[str, ...]) -> None:
    """Check that what was read is a checkpoint of a run.

    Raises:
        DamagedCheckpoint: it is not; the message says what it holds and what is needed.
    """
    whole = isinstance(found, dict) and all(key in found for key in needed)
    if whole and _is_weights(found["state_dict"]) and type(found["global_step"]) is type(found["epoch"]) is int:
        return
    hint = f"; to start from weights alone: fit --weights {path}" if _is_weights(found) else _others(Path(path))
    raise DamagedCheckpoint(
        f"{path}: holds {describe(found)}; a checkpoint of a run has {', '.join(needed[:3])} and more{hint}"
    )


def describe(found: Any) -> str:
    """Describe the content of a file in a few words.

    Example:
        >>> describe([1, 2]), describe(torch.zeros(2, 3)), describe({"fc.weight": torch.zeros(2)})
        ('a list of 2', 'a tensor of shape (2, 3)', 'weights alone (1 tensors, such as fc.weight)')
    """
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    if _is_weights(found):
        return f"weights alone ({len(found)} tensors, such as {next(iter(found))})"
    if isinstance(found, Mapping):
        names = ", ".join(str(key) for key in list(found)[:4]) or "nothing"
        missing = [key for key in NEEDED_TO_RESUME if key not in found]
        lacks = f", but no {missing[0]}" if missing and len(missing) < len(NEEDED_TO_RESUME) else ""
        return f"{names}{', ...' if len(found) > 4 else ''}{lacks}"
    return f"a {type(found).__name__} of {len(found)}" if isinstance(found, (list, tuple)) else type(found).__name__


def check_weights_fit(held: Mapping[str, tuple[int, ...]], net: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    """Compare the weights of a checkpoint with those of a net, before anything is loaded.

    Args:
        held: the checkpoint's shapes by name.
        net: the net's tensors by name.
        path: of the checkpoint.
        remedy: the end of the line.

    Raises:
        UserError: they do not fit; the message names the first tensor that differs, and how many differ.
    """
    shapes = [name for name in net if name in held and tuple(net[name].shape) != held[name]]
    lacking, unknown = [name for name in net if name not in held], [name for name in held if name not in net]
    if not (shapes or lacking or unknown):
        return
    if shapes:
        name = shapes[-1] if len(shapes) <= 2 else shapes[0]  # a head of other classes: its weight and bias
        name = next((n for n in shapes if n.endswith("weight")), name)
        said = f"its {name} is {held[name]}, the net's is {tuple(net[name].shape)}"
    elif lacking:
        said = f"it has no {lacking[0]}, which the net has"
        said += f"; it has {unknown[0]}, which the net has not" if unknown else ""
    else:
        said = f"it has {unknown[0]}, which the net has not"
    count = len(shapes) + len(lacking) + len(unknown)
    raise UserError(f"{path}: does not fit the net: {said} ({count} of {len({*net, *held})} tensors); {remedy}")


def weight_shapes(checkpoint: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of a checkpoint's weights by name."""
    return {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items() if torch.is_tensor(value)}


def _load(file: Any, map_location: Any) -> Any:
    with zipfile.ZipFile(file) as archive:  # torch itself does not look at the checksums
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("checksum")
    file.seek(0)
    return torch.load(file, map_location=map_location, weights_only=True)


def _describe_bytes(path: Path) -> str:
    head = b""
    with contextlib.suppress(OSError, UserError), open_regular(path, "rb") as file:
        head = file.read(16)
    if head[8:10] == b'{"':
        return "holds a safetensors file; a checkpoint of a run has state_dict, epoch, global_step and more"
    return "empty" if not head else "damaged or no checkpoint"


def _is_weights(found: Any) -> bool:
    return isinstance(found, Mapping) and bool(found) and all(isinstance(value, Tensor) for value in found.values())


def _others(path: Path) -> str:
    """The end of a message: the other checkpoints in the folder."""
    there = sorted(str(other) for other in path.parent.glob("*.ckpt") if other.name != path.name)
    return f"; there are {', '.join(there[:3])}" if there else "; name another one"
