"""How a worker treats memory that it has freed, and how often it looks for more.

Left alone, glibc gives it back to the kernel after every answer and asks for it again at the next one, page by page:
1 MB answers took four times as long. And each of a worker's many threads would keep a heap of its own.
"""

from __future__ import annotations

import ctypes
import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of <malloc.h>

_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 4 << 20
_HEAPS = 2


def keep_freed_memory() -> None:
    """Keep up to 32 MiB of freed memory in each of two heaps; what is larger than 4 MiB goes back at once.

    Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in (
            (_ARENA_MAX, _HEAPS),
            (_MMAP_THRESHOLD, _LARGE_BYTES),
            (_TRIM_THRESHOLD, _KEPT_BYTES),
        ):
            mallopt(parameter, value)


def collect_seldom() -> None:
    """Leave what is loaded so far out of the search for garbage in cycles, and search less often.

    Answers make many small objects and hardly ever a cycle: the searches took a fifth of the time of large lists.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
