"""Keeps freed memory in the process, so that the next training step can use it again; pauses the garbage collector.

By default glibc returns large blocks to the system as soon as they are freed, and a training step on the CPU frees all
its activations. The next step then waits until the system has zeroed thousands of pages. PyTorch's tuning guide
recommends other allocators for this; two settings of glibc do it without a package. The peak memory does not change.
"""

import atexit
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator

# mallopt(3); as in <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Let malloc keep freed memory, from now on and in the whole process.

    Returns:
        Whether it was done; it needs glibc.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return False
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, ValueError, AttributeError):
        return False
    # Blocks up to 1 GiB come from the heap, and up to 2 GiB at its end are kept.
    return bool(mallopt(_M_MMAP_THRESHOLD, 2**30) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


@contextlib.contextmanager
def pause_collections() -> Iterator[None]:
    """Make many small objects without the garbage collector, which would walk over all imported modules every time.

    The setup of 50,000 image files takes a quarter less time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def import_quickly() -> Iterator[None]:
    """Import torch and Lightning without the garbage collector, and let it leave alone what they made, for good.

    They make a million objects that live as long as the process. The collector would walk over all of them again and
    again, which takes a fifth of the time of the imports. See `gc.freeze`.
    """
    imported = "torch" in sys.modules
    with pause_collections():
        yield
        if not imported and "torch" in sys.modules:
            gc.freeze()
            atexit.register(gc.unfreeze)  # what is still frozen at the end is taken for a leak by some libraries
