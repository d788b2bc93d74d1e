"""The largest resident size that this process ever had, as the system counts it."""

import sys


def peak_rss_bytes() -> int:
    """Peak resident bytes of this process, memory-mapped pages included; 0 where unknown."""
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
