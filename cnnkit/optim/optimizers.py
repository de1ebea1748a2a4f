"""Optimizers: built from parameter groups, with a fused kernel if there is one, and tried before training.

A trial costs a millisecond. It finds errors of the first step before the run begins: an optimizer may need sparse
gradients, second derivatives, or weights in another memory format than channels_last.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.optim.factories import construct, read_name, read_signature, split_factory

REMEDIES = {
    "Muon": "MuonSGD and timm.optim.Muon take all parameters",
    "SparseAdam": "take torch.optim.Adam, the dense one",
    "Lookahead": "it wraps an optimizer, which Python can: optimizer=lambda groups: Lookahead(AdamW(groups))",
}


def fused_if_possible(optimizer: Callable[..., Any], clipped_by_scaler: bool = False) -> dict[str, bool]:
    """Return ``{"fused": True}`` for an optimizer with a fused kernel (SGD, Adam, AdamW, Adagrad), else an empty dict.

    Args:
        optimizer: class, or a ``functools.partial`` of one.
        clipped_by_scaler: whether gradients are clipped while they are scaled for float16. A fused kernel unscales
            them in its own step, after the clipping; so it is switched off.

    Raises:
        UserError: the user wrote ``fused: true``, and gradients are clipped while they are scaled.

    Example:
        >>> import torch
        >>> fused_if_possible(torch.optim.SGD), fused_if_possible(torch.optim.RMSprop)
        ({'fused': True}, {})
    """
    if "fused" not in read_signature(optimizer):
        return {}
    chosen = split_factory(optimizer)[1].get("fused")
    if not clipped_by_scaler:
        return {"fused": True if chosen is None else chosen}
    if chosen:
        raise UserError(
            "model.optimizer.fused is true, and trainer.gradient_clip_val cannot clip what a fused kernel unscales in "
            "16-mixed: leave fused out, or train in bf16-mixed"
        )
    return {"fused": False}


def build_optimizer(
    factory: Callable[..., Any], groups: Iterable[dict[str, Any]], **options: Any
) -> tuple[Optimizer, bool]:
    """Build an optimizer and try it on copies of a few parameters.

    Args:
        factory: class, function, or a ``functools.partial`` of one.
        groups: parameter groups.
        **options: more arguments, such as ``fused``.

    Returns:
        The optimizer, and whether it needs weights that are contiguous in memory, not in channels_last (LBFGS).

    Raises:
        UserError: it refuses an argument or the parameters, or fails in its first step.
    """
    kept = [dict(group) for group in groups]

    def build(made_by: Callable[..., Any]) -> Any:
        return made_by([dict(group) for group in kept], **options)  # optimizers write into the groups

    try:
        optimizer: Optimizer = construct("model.optimizer", factory, build)
        _check_epsilon(optimizer)
        copies = [{**group, "params": _copy_smallest(group["params"])} for group in kept]
        error = _try_steps(factory, copies, options)
        if error is None:
            return optimizer, False
        rows = [{**group, "params": [p.detach().contiguous() for p in group["params"]]} for group in copies]
        if _try_steps(factory, rows, options) is None:
            return optimizer, True
        sentence = " ".join(str(error).split())
        raise UserError(f"model.optimizer: {read_name(factory)} fails on its first step: {sentence}") from error
    except UserError as error:
        if (remedy := REMEDIES.get(read_name(factory))) is None:
            raise
        raise UserError(f"{error}; {remedy}") from error


def is_second_order(optimizer: Any) -> bool:
    """Whether an optimizer needs second derivatives, as timm's Adahessian does."""
    return bool(getattr(optimizer, "is_second_order", False))


def _check_epsilon(optimizer: Optimizer) -> None:
    """Refuse an epsilon that is 0 in float16, such as Adam's 1e-8: an update without a gradient would be 0 / 0."""
    for group in optimizer.param_groups:
        eps = group.get("eps")
        kinds = {p.dtype for p in group["params"]}
        if isinstance(eps, float) and eps > 0 and any(torch.tensor(eps).to(kind) == 0 for kind in kinds):
            raise UserError(
                f"model.optimizer.eps is {eps}, which is 0 in float16: set it to 1e-4, or train in 16-mixed"
            )


def _copy_smallest(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Copy one parameter, the smallest, for every number of dimensions and memory format."""
    smallest: dict[tuple[int, bool], Tensor] = {}
    for p in parameters:
        kind = p.ndim, p.is_contiguous()
        if kind not in smallest or p.numel() < smallest[kind].numel():
            smallest[kind] = p
    return [p.detach().clone() for p in smallest.values()]


def _try_steps(factory: Callable[..., Any], groups: list[dict[str, Any]], options: dict[str, Any]) -> Exception | None:
    """Take two steps with an optimizer of these groups; return the error, or None."""
    held = [p.requires_grad_() for group in groups for p in group["params"]]
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            optimizer = factory([dict(group) for group in groups], **options)
            if {id(p) for group in optimizer.param_groups for p in group["params"]} != {id(p) for p in held}:
                return None  # a user's function that takes its parameters from elsewhere

            def compute_loss() -> Tensor:
                optimizer.zero_grad()
                loss = torch.stack([p.float().square().sum() for p in held]).sum()
                torch.autograd.backward(loss, create_graph=is_second_order(optimizer))
                return loss.detach()

            for _ in range(2):
                optimizer.step(compute_loss)
            optimizer.zero_grad()
        except Exception as error:
            return error
    return None
