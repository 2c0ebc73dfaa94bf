"""glibc's allocator, told to keep memory that is used again at once.

By default every array above some megabytes is asked of the system anew and given back when it goes, and its pages are
cleared each time: a third of the texture stage's processor time. Elsewhere than on Linux with glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # of malloc.h
_KEPT = 2**31 - 1  # bytes of free memory at the heap's end; an int is all that mallopt takes
_STEP = 1 << 26  # bytes by which the heap grows: a large texture's channel is 16 MiB


@cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def keep_freed_memory() -> None:
    """Have this process keep what it frees. For a process that reconstructs, before it begins."""
    libc = _libc()
    if libc is not None:
        for parameter, value in (
            (_M_MMAP_MAX, 0),
            (_M_TRIM_THRESHOLD, _KEPT),
            (_M_TOP_PAD, _STEP),
            (_M_ARENA_MAX, 1),
        ):
            libc.mallopt(parameter, value)


def give_freed_memory_back() -> None:
    """Return to the system what this process has freed, between two jobs."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
