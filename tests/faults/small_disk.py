"""A disk of a few megabytes that can be filled to the byte: a tmpfs, always unmounted (FAULTS R4).

Only as root. The system counts in pages of 4 KiB, so "free" is exact to one page.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POINTS = tuple(range(0, 100, 5))
"""Per cent of the bytes needed that are still free: 20 disks, each too small."""
_BALLAST = "ballast"


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Path]:
    """A disk of that size at `place`, which is made; gone at the end, with all it holds."""
    place.mkdir()
    options = ["-o", f"size={size_bytes}", "tmpfs", str(place)]
    subprocess.run(["mount", "-t", "tmpfs", *options], check=True)
    try:
        yield place
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """Take the disk away at once, also from a process that has files open on it."""
    subprocess.run(["umount", "-l", str(place)], check=True)


def leave_free(place: Path, free_bytes: int) -> None:
    """Fill the disk so far that only `free_bytes` (rounded down to a page) are left."""
    free_up(place)
    with (place / _BALLAST).open("wb") as file:
        left = shutil.disk_usage(place).free - free_bytes
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))


def free_up(place: Path) -> None:
    """Remove what `leave_free` wrote."""
    (place / _BALLAST).unlink(missing_ok=True)
