"""Building what the user configured, and naming the argument if its class refuses it."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from cnnkit.errors import UserError
from cnnkit.optim.factories import class_and_arguments, name_of, signature_of


def construct(key: str, factory: Callable[..., Any], build: Callable[[Callable[..., Any]], Any]) -> Any:
    """Build something from a factory.

    Args:
        key: of the configuration, such as ``model.optimizer``.
        factory: class, function or partial.
        build: calls a factory; called again, on an error, with factories that lack one argument each.

    Raises:
        UserError: with the class's own sentence and the argument without which it would not have been raised.
    """
    try:
        return build(factory)
    except UserError as error:  # it names reason and remedy, and perhaps an argument
        if str(error).partition(" ")[0] in class_and_arguments(factory)[1]:
            raise UserError(f"{key}.{error}") from error
        raise
    except Exception as error:
        if missing := missing_arguments(factory):
            raise UserError(
                f"{key}.{missing[0]}: is required and was not given; add --{key}.{missing[0]} VALUE"
            ) from error
        argument = find_refused(factory, build)
        sentence = " ".join(str(error).split()) or "it raises an AssertionError"
        if argument is None:
            raise UserError(f"{key}: {name_of(factory)} refuses its arguments: {sentence}") from error
        value = class_and_arguments(factory)[1][argument]
        raise UserError(f"{key}.{argument} is {value}, which {name_of(factory)} refuses: {sentence}") from error


def find_refused(factory: Callable[..., Any], build: Callable[[Callable[..., Any]], Any]) -> str | None:
    """The argument that was given and without which, at its default, the class accepts all others.

    A number that the class needs is tried as 1 instead; else it is the one that the class needs, if there is one such.

    Args:
        factory: as in `construct`.
        build: raises an error for the arguments as they are.
    """
    target, given = class_and_arguments(factory)
    without = {name: {key: other for key, other in given.items() if key != name} for name in given}
    as_one = {name: {**given, name: type(value)(1)} for name, value in given.items() if type(value) in (int, float)}
    for trials in (without, as_one):
        for name, tried in trials.items():
            try:
                build(partial(target, **tried))
            except Exception:
                continue
            return name
    parameters = signature_of(factory)
    needed = [name for name in given if name in parameters and parameters[name].default is inspect.Parameter.empty]
    return needed[0] if len(needed) == 1 else None


def missing_arguments(factory: Callable[..., Any]) -> list[str]:
    """Arguments that a class needs besides the first one, which is for cnnkit to give, and that were not given."""
    _, given = class_and_arguments(factory)
    positional = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [n for n, p in signature_of(factory).items() if p.default is p.empty and p.kind in positional]
    return [name for name in needed[1:] if name not in given]
