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
    except UserError:
        raise
    except Exception as error:
        argument = _find_refused(factory, build)
        sentence = " ".join(str(error).split()) or "it raises an AssertionError"
        if argument is None:
            raise UserError(f"{key}: {name_of(factory)} refuses its arguments: {sentence}") from error
        value = class_and_arguments(factory)[1][argument]
        raise UserError(f"{key}.{argument} is {value}, which {name_of(factory)} refuses: {sentence}") from error


def _find_refused(factory: Callable[..., Any], build: Callable[[Callable[..., Any]], Any]) -> str | None:
    """The argument that was given and without which, at its default, the class accepts all others.

    Else the one that the class needs, if it is the only such.
    """
    target, given = class_and_arguments(factory)
    for name in given:
        try:
            build(partial(target, **{key: value for key, value in given.items() if key != name}))
        except Exception:
            continue
        return name
    parameters = signature_of(factory)
    needed = [n for n in given if n in parameters and parameters[n].default is inspect.Parameter.empty]
    return needed[0] if len(needed) == 1 else None  # without what a class needs it cannot be tried
