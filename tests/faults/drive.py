"""A drive that can be pulled while programs use it: a folder, mounted a second time (FAULTS F36).

Only as root. What was written stays in the folder, so it can be looked at afterwards.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.small_disk import unmount


@contextmanager
def drive(folder: Path, place: Path) -> Iterator[Path]:
    """The folder as a drive at `place`, which is made and is empty without it."""
    place.mkdir()
    subprocess.run(["mount", "--bind", str(folder), str(place)], check=True)
    try:
        yield place
    finally:  # the test may have pulled it
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder where nothing can be written, not even by root."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield folder
    finally:
        unmount(folder)
