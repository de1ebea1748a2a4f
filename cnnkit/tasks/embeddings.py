"""What a frozen backbone makes of each image, computed once and kept on disk: a head then trains on that alone.

The linear probe of Alain & Bengio 2016, arXiv 1610.01644, at the cost of one pass over the images.
"""

import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from cnnkit.errors import UserError

Features = dict[str, Tensor]  # train, train_labels, val, val_labels


def compute_features(net: nn.Module, head: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """What the head is given for images (B, C, H, W), flattened to (B, D), and the logits (B, K).

    Raises:
        UserError: if the net does not call its head once with one tensor.
    """
    seen: list[Any] = []
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0] if inputs else None))
    try:
        logits: Tensor = net(images)
    finally:
        handle.remove()
    if len(seen) != 1 or not torch.is_tensor(seen[0]):
        raise UserError("mode embeddings: the net does not call its head once with one tensor; use mode frozen")
    return seen[0].flatten(1), logits


def check_head(head: nn.Module, features: Tensor, logits: Tensor) -> None:
    """Make sure that the head is all that comes after the features.

    Raises:
        UserError: if it makes other logits of them.
    """
    try:
        again = head(features)
        same = again.shape == logits.shape and close(again, logits)
    except Exception:  # such as a pooling layer that is given features without pixels
        same = False
    if not same:
        raise UserError(
            "mode embeddings: the head alone does not make the net's logits of its features; "
            "name the net's last Linear with model.head, or use mode frozen"
        )


def close(one: Tensor, other: Tensor) -> bool:
    """Whether they are equal but for rounding, which batches of another size bring about, even in 16 bits."""
    one, other = one.float(), other.float()
    return bool((one - other).norm() <= 0.02 * other.norm() + 1e-6)


def fingerprint(net: nn.Module, head: str, **facts: Any) -> str:
    """SHA-256, in hex, of all that decides the features: weights, buffers and structure without the head, and facts.

    Args:
        net: the net.
        head: dotted name of its head.
        **facts: plain values: of the data, of how they are prepared, of the precision.
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
    """Write a whole file or none of it.

    Raises:
        UserError: if the folder cannot be written to.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    digest = hashlib.sha256()
    _digest_tensors(digest, features)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(features, temporary, metadata={"key": key, "sha256": digest.hexdigest()})
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{file.parent}: cannot keep the features ({reason}); name another folder with cache_dir"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def load_features(file: Path, key: str) -> Features | None:
    """The features that were kept under this key; None if there are none, or the file is damaged or another's."""
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
    """Make the data module deal in features of the training and validation images, from the cache if it has them.

    Each rank computes its share; all of them get the whole, and the first of each node keeps it.

    Args:
        trainer: within a fit, the weights loaded.
        net: the net, on its device.
        head: dotted name of its head.
        folder: where to keep them; None: ``.cnnkit/embeddings`` below the data module's ``data_dir``.

    Raises:
        UserError: if the data module cannot deal in features, or the head is not the last operation.
    """
    data: Any = getattr(trainer, "datamodule", None)
    if not hasattr(data, "use_features"):
        raise UserError("mode embeddings takes an ImageDataModule, which can deal in features; use mode frozen")
    about = {key: data.describe()[key] for key in ("fingerprint", "split")}
    device = trainer.strategy.root_device.type
    prepared = [repr(data.augmentation.normalize), data.shape]
    key = fingerprint(net, head, data=about, prepared=prepared, precision=str(trainer.precision), device=device)
    file = (folder or Path(data.data_dir) / ".cnnkit" / "embeddings") / f"{key[:32]}.safetensors"
    with _evaluating(trainer, net):
        found = load_features(file, key)
        good = _agrees(trainer, data, net, head, found)
        if trainer.strategy.reduce_boolean_decision(good):  # on every rank
            assert found is not None
            _say(trainer, f"embeddings: read from {file}")
        else:
            began = time.perf_counter()
            found = _compute(trainer, data, net, head)
            if trainer.local_rank == 0:
                save_features(file, found, key)
            count, seconds = len(found["train"]) + len(found.get("val", ())), time.perf_counter() - began
            _say(trainer, f"embeddings: {count:,} images, not augmented, in {seconds:.1f} s; kept in {file}")
    data.use_features({part: (found[part], found[f"{part}_labels"]) for part in ("train", "val") if part in found})


@contextlib.contextmanager
def _evaluating(trainer: L.Trainer, net: nn.Module) -> Iterator[None]:
    """The net in evaluation mode, at the run's precision, not compiled, without gradients."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad(), trainer.precision_plugin.forward_context(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _agrees(trainer: L.Trainer, data: Any, net: nn.Module, head: str, found: Features | None) -> bool:
    """Check the head on a first few images, and that the cache holds what the net makes of them today."""
    images, labels = next(iter(data.plain_batches("train")))
    part = net.get_submodule(head)
    features, logits = compute_features(net, part, trainer.precision_plugin.convert_input(images[:64]))
    check_head(part, features, logits)
    if found is None or trainer.global_rank > 0:  # the first rank's share begins where the cache does
        return found is not None
    kept, kept_labels = found["train"][: len(features)], found["train_labels"][: len(features)]
    same = kept.shape == features.shape and torch.equal(kept_labels, labels[: len(features)].cpu())
    return same and close(kept, features.cpu())


def _compute(trainer: L.Trainer, data: Any, net: nn.Module, head: str) -> Features:
    parts = {"train": len(data.train_indices), "val": len(data.val_indices)}
    found: Features = {}
    for part, count in parts.items():
        if not count:
            continue
        rows: list[tuple[Tensor, Tensor]] = []
        for images, labels in _progress(trainer, data.plain_batches(part), part, count):
            features, _ = compute_features(net, net.get_submodule(head), trainer.precision_plugin.convert_input(images))
            rows.append((_whole(features, trainer).cpu(), _whole(labels, trainer).cpu()))
        found[part], found[f"{part}_labels"] = (torch.cat(column) for column in zip(*rows, strict=True))
    return found


def _whole(share: Tensor, trainer: L.Trainer) -> Tensor:
    """The batch of which each rank has a share, in the order of the ranks."""
    return torch.cat(gather_all_tensors(share.contiguous())) if trainer.world_size > 1 else share


def _progress(trainer: L.Trainer, batches: Iterable[Any], part: str, count: int) -> Iterator[Any]:
    """Pass batches on and say on a terminal, four times a second at most, how far they are."""
    shown, done = time.perf_counter(), 0
    visible = trainer.is_global_zero and sys.stderr.isatty()
    for batch in batches:
        yield batch
        done += len(batch[1]) * trainer.world_size
        if visible and time.perf_counter() - shown > 0.25:
            shown = time.perf_counter()
            print(f"\rembeddings: {min(done, count):,} of {count:,} {part} images", end="\x1b[K", file=sys.stderr)
    if visible:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _say(trainer: L.Trainer, line: str) -> None:
    if trainer.is_global_zero:
        print(line, flush=True)
