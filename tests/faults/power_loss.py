"""The disk as a power cut leaves it: an ext4 image, copied while it is mounted (FAULTS R2).

What the system still held in memory is not in the copy; mounting it replays ext4's journal, as
the next start of the machine would. The mount options take away what hides a missing fsync: no
flush on rename (noauto_da_alloc), no commit by time. Only as root.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE_BYTES = 16 << 20
_OPTIONS = "loop,noauto_da_alloc,commit=600"


@dataclass(frozen=True)
class Disk:
    """An ext4 image that is mounted at `place`."""

    image: Path
    place: Path

    def cut_power(self, copy: Path) -> Path:
        """Write what would be on the disk after a power cut right now to `copy`."""
        return Path(shutil.copyfile(self.image, copy))

    def commit_names(self) -> None:
        """Another program syncs a file of its own: all names so far reach the disk, no contents.

        The worst moment for a file that was renamed before its own content was synced.
        """
        with (self.place / "elsewhere").open("wb") as file:
            subprocess.run(["sync", file.name], check=True)


def new_image(path: Path) -> Path:
    """An empty ext4 file system."""
    with path.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    command = ["mkfs.ext4", "-q", "-m", "0", "-O", "^resize_inode", "-E", "lazy_itable_init=0"]
    subprocess.run([*command, str(path)], check=True)
    return path


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Disk]:
    """The image at `place`, which is made where it is missing; unmounted (and so synced) after."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", _OPTIONS, str(image), str(place)], check=True)
    try:
        yield Disk(image, place)
    finally:
        subprocess.run(["umount", str(place)], check=True)
