"""Features of a frozen backbone, computed once for every image and kept on disk; a head trains on them.

This is the linear probe of Alain & Bengio 2016, arXiv 1610.01644, at the cost of one pass over the images.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import Progress
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from cnnkit import files
from cnnkit.errors import UserError
from cnnkit.layers.probing import as_plain_code
from cnnkit.tasks.stages import compute_features

Features = dict[str, Tensor]
"""Keys: train, train_labels, val, val_labels."""


def check_head(head: nn.Module, features: Tensor, logits: Tensor) -> None:
    """Check that nothing but the head comes after the features.

    Raises:
        UserError: the head computes other logits from the features.
    """
    try:
        of_head = head(features)
        same = of_head.shape == logits.shape and is_close(of_head, logits)
    except Exception:  # such as a pooling layer, which needs pixels
        same = False
    if not same:
        raise UserError(
            "mode embeddings: the head alone does not compute the net's logits from its features; "
            "name the net's last Linear with model.head, or use mode frozen"
        )


def is_close(one: Tensor, other: Tensor) -> bool:
    """Whether tensors are equal except for rounding, which differs with the batch size, even in 16 bits."""
    one, other = one.float(), other.float()
    return bool((one - other).norm() <= 0.02 * other.norm() + 1e-6)


def fingerprint(net: nn.Module, head: str, **facts: Any) -> str:
    """Return the SHA-256, in hex, of everything that determines the features.

    Args:
        net: the net: weights, buffers and structure without the head.
        head: dotted name of its head.
        **facts: plain values about the data, their preparation and the precision.
    """

    def outside(name: str) -> bool:
        return name != head and not name.startswith(f"{head}.")

    plain = (int, float, str, bool, tuple)
    structure = [
        (
            name,
            type(part).__qualname__,
            part.extra_repr(),
            sorted(
                (key, str(value))
                for key, value in vars(part).items()
                if isinstance(value, plain) and not key.startswith("_") and key != "training"
            ),
        )
        for name, part in net.named_modules()
        if outside(name)
    ]
    digest = hashlib.sha256(json.dumps([structure, facts], sort_keys=True, default=str).encode())
    tensors: Features = {**dict(net.named_parameters()), **dict(net.named_buffers())}  # those not saved, too
    _digest_tensors(digest, {name: value for name, value in tensors.items() if outside(name)})
    return digest.hexdigest()


def _digest_tensors(digest: Any, tensors: Features) -> None:
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def save_features(file: Path, features: Features, key: str) -> None:
    """Write features to a file, all of it or none.

    Raises:
        UserError: the folder is not writable.
    """
    digest = hashlib.sha256()
    _digest_tensors(digest, features)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(file, "wb") as opened:
            save_file(features, opened.name, metadata={"key": key, "sha256": digest.hexdigest()})
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{file.parent}: cannot keep the features ({reason}); name another folder with cache_dir"
        ) from None


def load_features(file: Path, key: str) -> Features | None:
    """Read the features with this key; None if there are none, or the file is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("key") != key:
                return None
            features: Features = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    digest = hashlib.sha256()
    _digest_tensors(digest, features)
    return features if digest.hexdigest() == metadata.get("sha256") else None


def use_embeddings(trainer: L.Trainer, net: nn.Module, head: str, folder: Path | None) -> None:
    """Let the data module yield batches of features instead of images, read from the cache or computed.

    Each rank computes its share. All ranks get all features, and the first rank of each node writes them to the cache.

    Args:
        trainer: within a fit, after the weights are loaded.
        net: the net, on its device.
        head: dotted name of its head.
        folder: folder of the cache; None: ``.cnnkit/embeddings`` below the data module's ``data_dir``.

    Raises:
        UserError: the data module cannot yield features, or the head is not the last operation.
    """
    data: Any = getattr(trainer, "datamodule", None)
    if not hasattr(data, "use_features"):
        raise UserError("mode embeddings needs an ImageDataModule, which can yield features; use mode frozen")
    about = {key: data.describe()[key] for key in ("fingerprint", "split")}
    device = trainer.strategy.root_device.type
    prepared = [repr(data.augmentation.normalize), data.shape]
    key = fingerprint(net, head, data=about, prepared=prepared, precision=str(trainer.precision), device=device)
    file = (folder or Path(data.data_dir) / ".cnnkit" / "embeddings") / f"{key[:32]}.safetensors"
    with as_plain_code(net), torch.no_grad(), trainer.precision_plugin.forward_context():
        features = load_features(file, key)
        valid = _check_cache(trainer, data, net, head, features)
        if trainer.strategy.reduce_boolean_decision(valid) and features is not None:  # on every rank
            message = f"embeddings: read from {file}"
        else:
            began = time.perf_counter()
            features = _compute_all(trainer, data, net, head)
            if trainer.local_rank == 0:
                save_features(file, features, key)
            count, seconds = len(features["train"]) + len(features.get("val", ())), time.perf_counter() - began
            message = f"embeddings: {count:,} images, not augmented, in {seconds:.1f} s; kept in {file}"
    if trainer.is_global_zero:
        print(message, flush=True)
    data.use_features(
        {part: (features[part], features[f"{part}_labels"]) for part in ("train", "val") if part in features}
    )


def _check_cache(trainer: L.Trainer, data: Any, net: nn.Module, head: str, cached: Features | None) -> bool:
    """Check the head on a few images; return whether the cache has the features of the first of them."""
    images, labels = next(iter(data.plain_batches("train")))
    part = net.get_submodule(head)
    features, logits = compute_features(net, part, trainer.precision_plugin.convert_input(images[:64]))
    check_head(part, features, logits)
    if cached is None or trainer.global_rank > 0:  # the first rank's share begins where the cache does
        return cached is not None
    kept, kept_labels = cached["train"][: len(features)], cached["train_labels"][: len(features)]
    same = kept.shape == features.shape and torch.equal(kept_labels, labels[: len(features)].cpu())
    return same and is_close(kept, features.cpu())


def _compute_all(trainer: L.Trainer, data: Any, net: nn.Module, head: str) -> Features:
    counts = {"train": len(data.train_indices), "val": len(data.val_indices)}
    all_features: Features = {}
    for part, count in counts.items():
        if not count:
            continue
        rows: list[tuple[Tensor, Tensor]] = []
        for images, labels in _progress(trainer, data.plain_batches(part), part, count):
            features, _ = compute_features(net, net.get_submodule(head), trainer.precision_plugin.convert_input(images))
            rows.append((_gather(features, trainer).cpu(), _gather(labels, trainer).cpu()))
        all_features[part], all_features[f"{part}_labels"] = (torch.cat(column) for column in zip(*rows, strict=True))
    return all_features


def _gather(share: Tensor, trainer: L.Trainer) -> Tensor:
    """Join the ranks' shares of a batch, in the order of the ranks."""
    return torch.cat(gather_all_tensors(share.contiguous())) if trainer.world_size > 1 else share


def _progress(trainer: L.Trainer, batches: Iterable[Any], part: str, count: int) -> Iterator[Any]:
    """Yield batches, with a progress bar on a terminal."""
    console = Console(stderr=True)
    visible = trainer.is_global_zero and console.is_terminal
    with Progress(console=console, transient=True, disable=not visible) as bar:
        bar_id = bar.add_task(f"embeddings: {part} images", total=count)
        for batch in batches:
            yield batch
            bar.advance(bar_id, len(batch[1]) * trainer.world_size)
