"""Compares an object with the one that its description builds: whatever differs would be lost in silence."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cnnkit.layers.probing import evaluating

_INTERNAL = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, type(None))


def find_difference(given: nn.Module, made: nn.Module) -> str | None:
    """Find the first difference in structure between two modules: layers, settings, weights by name, shape and type.

    Returns:
        Where it is and what it is, given and made; None if there is none.
    """
    ours, theirs = dict(given.named_modules()), dict(made.named_modules())
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if name not in ours or name not in theirs:
            there = "it has" if name in ours else "it has no"
            return f"{there} {name} ({type(ours.get(name, theirs.get(name))).__name__})"
        one, other = ours[name], theirs[name]
        if type(one) is not type(other) or one.extra_repr() != other.extra_repr():
            return f"{_name(name)} is {_shorten(one)} in it, and would be {_shorten(other)}"
    return _compare_weights(given, made)


def find_changed_setting(given: nn.Module, made: nn.Module) -> str | None:
    """Find the first plain attribute, or frozen weight, in which two modules of equal structure differ."""
    for (name, one), other in zip(given.named_modules(), made.modules(), strict=True):
        if found := compare_attributes(one, other, _INTERNAL):
            return f"{name}.{found}" if name else found
    trains = {name: parameter.requires_grad for name, parameter in made.named_parameters()}
    for name, parameter in given.named_parameters():
        if parameter.requires_grad != trains.get(name, parameter.requires_grad):
            return f"{name}.requires_grad is {parameter.requires_grad}, and would be {trains[name]}"
    modes = {module.training for module in given.modules()}
    if len(modes) > 1:
        name = next(name for name, module in given.named_modules() if not module.training)
        return f"{name} is in evaluation mode, and would train"
    return None


def compare_attributes(given: Any, made: Any, ignored: frozenset[str] = frozenset()) -> str | None:
    """Find the first plain attribute in which two objects differ."""
    ours, theirs = vars(given), vars(made)
    for name in ours:
        if name in ignored or name not in theirs or not (_is_plain(ours[name]) and _is_plain(theirs[name])):
            continue
        if ours[name] != theirs[name] and not (ours[name] != ours[name] and theirs[name] != theirs[name]):
            return f"{name} is {ours[name]!r}, and would be {theirs[name]!r}"
    return None


def gives_same_outputs(given: nn.Module, made: nn.Module, channels: int, size: tuple[int, int]) -> bool:
    """Whether two nets of equal weights map two random images (2, C, H, W) to equal logits, in evaluation mode."""
    images = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0))
    device = next((weight.device for weight in given.parameters()), torch.device("cpu"))
    with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(given), evaluating(made):
        torch.manual_seed(0)
        expected = given(images.to(device))
        torch.manual_seed(0)
        return _are_close(expected, made(images))


def _compare_weights(given: nn.Module, made: nn.Module) -> str | None:
    ours, theirs = dict(_list_weights(given)), dict(_list_weights(made))
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        one, other = ours.get(name, "nothing"), theirs.get(name, "nothing")
        if one != other:
            return f"{name} is {one} in it, and would be {other}"
    return None


def _list_weights(module: nn.Module) -> Iterator[tuple[str, str]]:
    for name, value in module.state_dict().items():
        kind = f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}" if torch.is_tensor(value) else "data"
        yield name, kind


def _are_close(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other)
    return one.shape == other.shape and torch.allclose(one.float().cpu(), other.float(), rtol=1e-3, atol=1e-4)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return type(value) in _PLAIN


def _name(name: str) -> str:
    return name or "the net itself"


def _shorten(module: nn.Module) -> str:
    text = f"{type(module).__name__}({module.extra_repr()})"
    return text if len(text) <= 60 else f"{text[:57]}..."
