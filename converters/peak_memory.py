"""The largest resident size that this process ever had, as the system counts it."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int:
    """Peak resident bytes of this process, memory-mapped pages included; 0 where unknown.

    On Linux VmHWM, since `ru_maxrss` of a child starts at the size of the parent that forked it.
    """
    if _STATUS.exists():
        lines = (line.split() for line in _STATUS.read_text().splitlines())
        return next((1024 * int(line[1]) for line in lines if line[0] == "VmHWM:"), 0)
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - Unix only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
