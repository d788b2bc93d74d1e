"""What a child of ours gives up by itself: outliving its parent, core dumps, endless memory.

The same limits exist only partly outside of Linux; there the parent's pipe is the one leash.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TEMPLATE_BYTES = 512 * 2**20


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends; no core dumps."""
    if sys.platform != "linux":
        return
    import resource

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def bounded_memory(extra: int = _TEMPLATE_BYTES) -> Iterator[None]:
    """Inside the block this process may take `extra` more bytes, then gets MemoryError."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _data_bytes() + extra
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def limit_for_good(address_space: int, cpu_s: int) -> None:
    """Bound this process for the rest of its life: bytes of addresses, seconds of processor."""
    if sys.platform == "win32":
        return
    import resource

    for kind, bound in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_CPU, cpu_s)):
        _, hard = resource.getrlimit(kind)
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        with suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(kind, (bound, bound))


def end_own_group() -> None:
    """End this process at once, and with it whatever it started."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _data_bytes() -> int:
    """The private memory of this process, in bytes, as RLIMIT_DATA counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE")
