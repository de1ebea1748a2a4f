"""Objects that remember the call which made them, so that a configuration can describe them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

_NAME = "_made_by"


class Call(NamedTuple):
    """A class or function, and the arguments that it was called with."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def bind(self) -> dict[str, Any]:
        """Return all arguments by name; those that were left out are not among them.

        Raises:
            TypeError: an argument has no name.
        """
        signature = inspect.signature(self.target)
        kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
        found: dict[str, Any] = {}
        for name, value in signature.bind(*self.args, **self.kwargs).arguments.items():
            if kinds[name] is inspect.Parameter.VAR_POSITIONAL:
                raise TypeError(f"{getattr(self.target, '__name__', self.target)} got arguments without names")
            found |= value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value}
        return found


class Recorded:
    """Base of classes whose objects remember the arguments of their constructor; `read_call` returns them."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an object without its ``__init__``, as `object` does."""
        made = super().__new__(cls)
        record_call(made, Call(cls, args, kwargs))
        return made


def record_call(made: object, call: Call) -> None:
    """Note the call that makes an equal object."""
    object.__setattr__(made, _NAME, call)  # nn.Module's own would want __init__ to be over


def read_call(made: object) -> Call | None:
    """Return the call that made an object; None if it was not recorded."""
    call = vars(made).get(_NAME) if hasattr(made, "__dict__") else None
    return call if isinstance(call, Call) else None
