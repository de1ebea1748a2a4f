"""Factories of optimizers and schedules: a class, a partial of one, a function, or jsonargparse's own factory."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim.optimizer import required

from cnnkit.errors import UserError

Factory = Callable[..., Any]


def plain_factory(factory: Factory) -> Factory:
    """Turn jsonargparse's factory of a class into a plain partial of that class; return others unchanged.

    jsonargparse's factory holds the whole command line, so it can be neither copied nor inspected.
    """
    if isinstance(factory, partial) and (targets := [a for a in factory.args if callable(a)]):
        return partial(targets[-1], **factory.keywords)  # the argument before it is jsonargparse's instantiator
    return factory


def split_factory(factory: Factory) -> tuple[Factory, dict[str, Any]]:
    """Return a factory's class or function, and the arguments that it already holds."""
    return (factory.func, factory.keywords) if isinstance(factory, partial) else (factory, {})


def read_signature(factory: Factory) -> dict[str, inspect.Parameter]:
    """Return the parameters of a factory's class or function by name; none where Python does not know them."""
    try:
        return dict(inspect.signature(split_factory(factory)[0]).parameters)
    except (TypeError, ValueError):  # written in C
        return {}


def read_argument(factory: Factory, name: str) -> Any:
    """Return the value of an argument: the one that the factory holds, else its default, else None."""
    arguments, parameters = split_factory(factory)[1], read_signature(factory)
    if name in arguments:
        return arguments[name]
    default = parameters[name].default if name in parameters else None
    return None if default is inspect.Parameter.empty else default


def list_other_rates(optimizer: Factory) -> list[str]:
    """List the arguments of an optimizer that are learning rates of some parameters, such as ``vector_lr``.

    Example:
        >>> from cnnkit.optim import MuonSGD
        >>> list_other_rates(MuonSGD)
        ['matrix_lr', 'vector_lr']
    """
    bounds = ("min_lr", "max_lr", "final_lr")  # of a rate that the optimizer itself changes
    return [name for name in read_signature(optimizer) if name.endswith("_lr") and name not in bounds]


def read_name(factory: Factory) -> str:
    """Return the name of a factory's class or function."""
    target = split_factory(factory)[0]
    return getattr(target, "__name__", type(target).__name__)


def construct(key: str, factory: Factory, build: Callable[[Factory], Any]) -> Any:
    """Build an object, and name the argument if the class refuses one.

    Args:
        key: key of the configuration, such as ``model.optimizer``.
        factory: class, function or partial.
        build: calls a factory. On an error it is called again, with factories that lack one argument each.

    Raises:
        UserError: the class refuses an argument; the message has its name, its value and the class's own reason.
    """
    try:
        return build(factory)
    except UserError as error:  # it has a reason and a remedy, and may begin with the name of an argument
        if str(error).partition(" ")[0] in split_factory(factory)[1]:
            raise UserError(f"{key}.{error}") from error
        raise
    except Exception as error:
        if missing := _find_missing(factory):
            raise UserError(f"{key}.{missing}: is required and was not given; add --{key}.{missing} VALUE") from error
        argument = find_refused(factory, build)
        reason = " ".join(str(error).split()) or "it raises an AssertionError"
        if argument is None:
            raise UserError(f"{key}: {read_name(factory)} refuses its arguments: {reason}") from error
        value = read_argument(factory, argument)
        raise UserError(f"{key}.{argument} is {value}, which {read_name(factory)} refuses: {reason}") from error


def find_refused(factory: Factory, build: Callable[[Factory], Any]) -> str | None:
    """Find the argument without which the class accepts all others.

    Each argument is left out once, then each number is replaced by 1. If no trial succeeds, the only argument
    without a default is returned; None if there are several.

    Args:
        factory: as in `construct`.
        build: calls a factory, and raises an error for the arguments as they are.
    """
    target, arguments = split_factory(factory)
    without = {name: {key: other for key, other in arguments.items() if key != name} for name in arguments}
    as_one = {n: {**arguments, n: type(value)(1)} for n, value in arguments.items() if type(value) in (int, float)}
    for trials in (without, as_one):
        for name, trial in trials.items():
            try:
                build(partial(target, **trial))
            except Exception:
                continue
            return name
    needed = [name for name, parameter in read_signature(factory).items() if _is_needed(parameter)]
    held = [name for name in needed if name in arguments]
    return held[0] if len(held) == 1 else None


def _find_missing(factory: Factory) -> str | None:
    """The first argument that the class needs and the factory lacks; the very first comes from cnnkit."""
    needed = [name for name, parameter in read_signature(factory).items() if _is_needed(parameter)]
    return next((name for name in needed[1:] if name not in split_factory(factory)[1]), None)


def _is_needed(parameter: inspect.Parameter) -> bool:
    named = parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return named and (parameter.default is inspect.Parameter.empty or parameter.default is required)
