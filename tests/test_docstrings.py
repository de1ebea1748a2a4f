"""Public methods say what they do, unless they override a method whose own class says it."""

import importlib
import inspect
import pkgutil

import pytest

import cnnkit

MODULES = [m.name for m in pkgutil.walk_packages(cnnkit.__path__, "cnnkit.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_public_methods_that_override_nothing_have_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    silent = [
        f"{kind.__name__}.{key}"
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == name and not kind.__name__.startswith("_")
        for key, value in vars(kind).items()
        if not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, (property, classmethod)))
        if not inspect.getdoc(value) and not any(hasattr(base, key) for base in kind.__mro__[1:])
        if "<lambda>" not in getattr(value, "__qualname__", "")
    ]
    assert not silent
