"""What the machine has: processor, graphics cards, main memory, free disk. Never imports torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_QUERY = (
    "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits",
)  # fmt: skip
_MIB = 1024 * 1024
# What the torch that we install is built for (CUDA 13) needs on Linux.
OLDEST_DRIVER = (580, 65)
_CPU_INFO = Path("/proc/cpuinfo")


_PROBE_REASONS = (
    ("No devices were found", "The NVIDIA driver is there, but it finds no graphics card."),
    ("couldn't communicate with the NVIDIA driver",
     "The NVIDIA driver is not running: install or update it, then restart the computer."),
    ("Driver/library version mismatch",
     "The NVIDIA driver was updated while it ran: restart the computer."),
    ("GPU is lost", "The graphics card stopped answering: restart the computer."),
)  # fmt: skip


@dataclass(frozen=True)
class GraphicsCard:
    """One CUDA card; sizes in bytes."""

    name: str
    total_bytes: int
    free_bytes: int
    driver: str = ""

    @property
    def has_old_driver(self) -> bool:
        """Whether its driver is too old for training; an unreadable version counts as new."""
        numbers = tuple(int(part) for part in self.driver.split(".")[:2] if part.isdigit())
        return len(numbers) == 2 and numbers < OLDEST_DRIVER


@dataclass(frozen=True)
class CardProbe:
    """What asking for graphics cards gave: the cards, and why there are none, in words."""

    cards: tuple[GraphicsCard, ...]
    reason: str = ""


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; `available` is what a new process can take without swapping."""

    total_bytes: int
    available_bytes: int


def probe_cards() -> CardProbe:
    """The cards that training can use, and the reason where there are none (FAULTS F31)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return CardProbe((), "No NVIDIA graphics card was found (there is no NVIDIA driver).")
    try:
        run = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return CardProbe((), "The NVIDIA driver does not answer; restart the computer.")
    return read_probe(run.returncode, run.stdout + run.stderr)


def read_probe(code: int, text: str) -> CardProbe:
    """What nvidia-smi said with this exit code."""
    cards = parse_cards(text) if code == 0 else []
    usable = tuple(card for card in cards if not card.has_old_driver)
    if usable:
        return CardProbe(usable)
    if cards:
        card, oldest = cards[0], ".".join(map(str, OLDEST_DRIVER))
        return CardProbe((), (
            f"The driver of the {card.name} is too old for training ({card.driver}; {oldest} or "
            "later is needed): update the NVIDIA driver."
        ))
    return CardProbe((), next(
        (reason for part, reason in _PROBE_REASONS if part in text),
        "The NVIDIA driver lists no usable graphics card.",
    ))


def parse_cards(text: str) -> list[GraphicsCard]:
    """nvidia-smi's CSV lines (name, MiB in all, MiB free, driver) as cards; lines without numbers
    are left out (a driver answers "[N/A]" for cards that it cannot read)."""
    cards = []
    for line in text.splitlines():
        name, *values = (part.strip() for part in line.rsplit(",", 3))
        if len(values) == 3 and all(size.isdigit() for size in values[:2]):
            total, free = (int(size) * _MIB for size in values[:2])
            cards.append(GraphicsCard(name, total, free, values[2]))
    return cards


def has_fast_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware, as `finetune.base_model` asks torch;
    elsewhere training computes in float32."""
    if not _CPU_INFO.exists():
        return False
    flags = next(
        (line for line in _CPU_INFO.read_text().splitlines() if line.startswith("flags")), ""
    ).split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def memory() -> Memory:
    """Main memory as this process may use it: the machine's, or less under a limit of the shell
    (`ulimit -v`, `ulimit -d`) or of a container (cgroup v2)."""
    machine = _machine_memory()
    limits = [limit for limit in (_process_limit(), *_container_limits()) if limit]
    return Memory(
        min([machine.total_bytes, *limits]), min([machine.available_bytes, *limits])
    )


def _process_limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    soft = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in soft if limit != resource.RLIM_INFINITY), default=None)


def _container_limits(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What the container may still take, where it has a limit."""
    try:
        most = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return []
    return [max(0, int(most) - used)] if most.isdigit() else []


def _machine_memory() -> Memory:
    """By /proc/meminfo, elsewhere by sysconf (available = free pages)."""
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
