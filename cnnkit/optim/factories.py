"""Optimizers and schedules before they are built: a class, a partial of one, a function, or jsonargparse's factory."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any


def plain_factory(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return jsonargparse's factory of a class as a plain partial of that class; anything else as it is.

    Its own calls the class through an instantiator that holds the whole command line, trainer included, and can
    therefore be neither copied nor looked through.
    """
    if isinstance(factory, partial) and (targets := [a for a in factory.args if callable(a)]):
        return partial(targets[-1], **factory.keywords)  # what stands before it is an instantiator
    return factory


def class_and_arguments(factory: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return a factory's class, or function, and the arguments that it will be called with."""
    return (factory.func, factory.keywords) if isinstance(factory, partial) else (factory, {})


def signature_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a factory's class or function by name; none where Python cannot tell."""
    target, _ = class_and_arguments(factory)
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # written in C
        return {}


def value_of(factory: Callable[..., Any], name: str) -> Any:
    """Return the value that an argument will have: as given, else its default; None where there is neither."""
    _, given = class_and_arguments(factory)
    if name in given:
        return given[name]
    default = signature_of(factory)[name].default if name in signature_of(factory) else None
    return None if default is inspect.Parameter.empty else default


def name_of(factory: Callable[..., Any]) -> str:
    """Return the name of a factory's class or function."""
    target, _ = class_and_arguments(factory)
    return getattr(target, "__name__", type(target).__name__)
