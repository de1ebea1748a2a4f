"""Pickles of plain values and uint8 arrays, and of nothing else.

A pickle is a program. It is read twice: first its instructions, without running any, then it is run with stand-ins for
the five names it may use. What the first pass refuses would make the second take memory or stack without bound.
"""

import io
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MAX_TUPLES = 25_000  # of one, at most, for each of 10,000 file names; nested, each takes C's stack when it is hashed
_ALLOWED = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE"),
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
)
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_TUPLES = frozenset(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"))


def load_plain(pickled: bytes) -> Any:
    """Load a pickle of dicts, lists, tuples, numbers, text, bytes and uint8 arrays; the arrays have ``values``.

    Raises:
        pickle.UnpicklingError: It asks for more than that.
        Exception: Nearly any, where it is broken.
    """
    _check_instructions(pickled)
    return _PlainUnpickler(pickled).load()


def _check_instructions(pickled: bytes) -> None:
    tuples = 0
    for number, (instruction, argument, _) in enumerate(pickletools.genops(pickled)):
        name = instruction.name
        if name not in _ALLOWED:
            raise pickle.UnpicklingError(f"it uses {name}")
        if name in _PUTS and not 0 <= int(argument or 0) <= number:  # an index beyond makes room for all before it
            raise pickle.UnpicklingError(f"it claims room for {argument:,} values")
        tuples += name in _TUPLES
        if tuples > MAX_TUPLES:
            raise pickle.UnpicklingError(f"it has more than {MAX_TUPLES:,} tuples")


class _Dtype:
    """Stands in for ``numpy.dtype``: keeps the code's name and ignores the state, which says nothing more for bytes."""

    def __init__(self, code: bytes | str, *_: object) -> None:
        self.code = code.decode() if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands in for ``numpy.ndarray``: admits bytes in C order and nothing else."""

    values: NDArray[np.uint8]

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, shape, dtype, fortran_order, raw = state
        if dtype.code != "u1" or fortran_order or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array that is not plain uint8")
        self.values = np.frombuffer(raw, np.uint8).reshape(shape)


def _reconstruct(*_: object) -> _Array:
    return _Array()


class _PlainUnpickler(pickle.Unpickler):
    """Knows five names, each replaced by a stand-in above, so that not even NumPy's own code meets foreign bytes."""

    known: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
    }

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled), encoding="bytes")
        self._room = len(pickled)

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) == ("_codecs", "encode"):
            return self._encode
        if (module_name, global_name) not in self.known:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return self.known[module_name, global_name]

    def _encode(self, text: str, _: str) -> bytes:
        """Bytes that Python 3 wrote as text for Python 2; all of them together are no longer than the pickle."""
        self._room -= len(text)
        if self._room < 0:
            raise pickle.UnpicklingError("it copies its content many times")
        return text.encode("latin1")
