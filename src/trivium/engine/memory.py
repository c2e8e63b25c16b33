"""Keep freed memory instead of handing it back to the system between steps."""

from __future__ import annotations

import ctypes
import functools

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
GIB = 1 << 30


@functools.cache
def keep_memory() -> bool:
    """Tell glibc to reuse large blocks.  Returns whether it listened (other C libraries do not have the call).

    By default every block above 32 MB is mapped afresh and unmapped when freed, so the logits of each step are paid
    for in page faults: up to half of a step on virtual machines.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_THRESHOLD, GIB), (_TRIM_THRESHOLD, 2 * GIB - 1), (_TOP_PAD, 64 << 20))
    return all(mallopt(option, value) == 1 for option, value in settings)
