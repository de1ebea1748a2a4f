"""Freed memory stays with the process, for the next step to use again.

By its defaults glibc gives large blocks back to the system as soon as they are freed, and a training step on the CPU
frees all of its activations: the next one then waits for thousands of pages to be handed over and zeroed anew.
PyTorch's tuning guide recommends other allocators for this; two of glibc's own settings do it without a package. What
a run needs at its peak is the same.
"""

import ctypes
import os

# mallopt(3); as in <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Have malloc keep what is freed, from now on and in the whole process.

    Returns:
        Whether it was done: this is glibc's business, other C libraries are left alone.
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
