"""What the machine has: graphics cards, main memory, free disk. Never imports torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_QUERY = ("--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class GraphicsCard:
    """One CUDA card; sizes in bytes."""

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; `available` is what a new process can take without swapping."""

    total_bytes: int
    available_bytes: int


def graphics_cards() -> list[GraphicsCard]:
    """The cards that the NVIDIA driver lists; empty without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        run = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_cards(run.stdout) if run.returncode == 0 else []


def parse_cards(text: str) -> list[GraphicsCard]:
    """nvidia-smi's CSV lines (name, MiB in all, MiB free) as cards; lines without numbers are
    left out (a driver answers "[N/A]" for cards that it cannot read)."""
    cards = []
    for line in text.splitlines():
        name, *sizes = (part.strip() for part in line.rsplit(",", 2))
        if len(sizes) == 2 and all(size.isdigit() for size in sizes):
            cards.append(GraphicsCard(name, int(sizes[0]) * _MIB, int(sizes[1]) * _MIB))
    return cards


def memory() -> Memory:
    """Main memory by /proc/meminfo, elsewhere by sysconf (available = free pages)."""
    table = Path("/proc/meminfo")
    if table.exists():
        sizes = {}
        for line in table.read_text().splitlines():
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) * 1024
        return Memory(sizes["MemTotal"], sizes["MemAvailable"])
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    return Memory(total, total)


def free_disk_bytes(folder: Path) -> int:
    """Free bytes for this user on the file system of `folder` or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
