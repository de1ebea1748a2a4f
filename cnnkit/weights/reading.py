"""Reads weights from files without running code in them."""

import contextlib
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cnnkit import files, runs
from cnnkit.errors import UserError

_skipped: ContextVar[bool] = ContextVar("pretrained_skipped", default=False)


@contextlib.contextmanager
def skip_pretrained(skip: bool = True) -> Iterator[None]:
    """Let nets read no pretrained weights within the context, because a checkpoint has all of them."""
    token = _skipped.set(skip)
    try:
        yield
    finally:
        _skipped.reset(token)


def pretrained_skipped() -> bool:
    """Whether nets read no pretrained weights now; see `skip_pretrained`."""
    return _skipped.get()


def read_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read the tensors of a file by name, on the CPU.

    Args:
        path: a ``.safetensors`` file; a file of torch (``.pt``, ``.pth``, ``.ckpt``) with a dict of tensors, alone or
            as its ``state_dict``; or a run folder, or a name of runs, of which the newest finished one is taken, for
            its best checkpoint. A checkpoint of a task gives the weights of its net, under the net's own names.

    Raises:
        UserError: the path is a URL, is missing or damaged, or does not hold tensors by name.
    """
    if "://" in str(path):
        raise UserError(f"{path}: weights are read from local files only; download it first")
    file = runs.locate_runs(os.fspath(path))
    if file.is_dir():
        file = runs.choose_finished(file).best
    try:
        files.check_regular(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file of weights; give a .safetensors or .pth file, or a run folder") from None
    content = _load(file)
    nested = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(nested, dict) or not nested or not all(torch.is_tensor(value) for value in nested.values()):
        raise UserError(f"{file}: not a file of weights, which is tensors by name; save net.state_dict()")
    of_net = {name.removeprefix("net."): value for name, value in nested.items() if name.startswith("net.")}
    return of_net if nested is not content and of_net else dict(nested)


def describe_differences(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """Describe how weights differ from the state of a net in names and shapes; empty if they fit.

    Example:
        >>> describe_differences({"a": torch.zeros(1), "b": torch.zeros(1)}, {"a": torch.zeros(2), "c": torch.zeros(1)})
        'missing b; unexpected c; of another shape a'
    """
    differences = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [n for n in own if n in weights and own[n].shape != weights[n].shape],
    }
    listed = {what: (", ".join(names[:3]), len(names) - 3) for what, names in differences.items() if names}
    return "; ".join(f"{what} {shown}" + (f" and {n} more" if n > 0 else "") for what, (shown, n) in listed.items())


def _load(file: Path) -> Any:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:  # torch itself does not check the checksums
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile("checksum")
        return torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); change its permissions") from None
    except Exception as error:  # damage shows as nearly any kind
        unsafe = isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error)
        reason = "holds other things than tensors, and is not read" if unsafe else "damaged, or no file of weights"
        raise UserError(f"{file}: {reason}; save the weights alone, as torch.save(net.state_dict(), ...)") from error
