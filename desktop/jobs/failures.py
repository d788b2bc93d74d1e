"""What a process left behind when it died, in words: signal and last output -> cause and advice.

A worker that fails in a known way says so itself in the journal; this is for the other ends.
"""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError

TAIL_BYTES = 16 * 1024


@dataclass(frozen=True)
class Cause:
    """Why a process died: the pattern its output or signal shows, and what to do."""

    pattern: str
    title: str
    hint: str


# Ordered: the first that matches is the cause. Texts as torch, the kernel and glibc print them.
CAUSES = (
    Cause(
        r"CUDA out of memory|torch\.OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED",
        "The graphics memory ran out.",
        "Close other programs that use the card, or start anew with --max-tokens lowered.",
    ),
    Cause(
        r"CUDA driver version is insufficient|forward compatibility was attempted",
        "The graphics driver is too old for this program.",
        "Update the NVIDIA driver, then resume the job.",
    ),
    Cause(
        r"no kernel image is available",
        "This graphics card is too old for the installed torch.",
        "Install a torch build for this card, or compute on the processor.",
    ),
    Cause(
        r"CUDA unknown error|CUDA error: unknown error",
        "The graphics card stopped answering, as it does after the machine slept.",
        "Reload the driver module (`sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm`) or "
        "restart the machine, then resume the job.",
    ),
    Cause(
        r"Xid|CUDA error|illegal memory access|device-side assert|uncorrectable ECC|"
        r"fallen off the bus|CUBLAS_STATUS|NVML",
        "The graphics card stopped answering.",
        "Resume the job. If it happens twice, restart the machine and test the card.",
    ),
    Cause(
        r"DefaultCPUAllocator: can't allocate memory|MemoryError|std::bad_alloc|Cannot allocate|"
        r"could not create a primitive|memory allocation of \d+ bytes failed",
        "The memory ran out.",
        "Close other programs, or start anew with --max-tokens lowered, then resume.",
    ),
    Cause(
        r"No space left on device|Disk quota exceeded",
        "The disk is full.", "Free some space, then resume the job.",
    ),
    Cause(
        r"Read-only file system",
        "The folder of the job cannot be written any more.",
        "Mount the disk for writing, then resume the job.",
    ),
    Cause(
        r"Illegal instruction|SIGILL",
        "The processor does not know an instruction that a library uses.",
        "Reinstall with `make setup` on this machine, so that the libraries are built for it.",
    ),
    Cause(
        r"Bus error|SIGBUS",
        "A file that was in use became shorter, or its disk failed.",
        "Look whether the disk with the models is full or was removed, then resume the job.",
    ),
    Cause(
        r"Segmentation fault|SIGSEGV|Aborted|SIGABRT|terminate called",
        "A native library crashed.",
        "Resume the job. If it happens again, please report it with the job's output.log.",
    ),
)
_BY_SIGNAL = {
    signal.SIGILL: "Illegal instruction", signal.SIGBUS: "Bus error",
    signal.SIGSEGV: "Segmentation fault", signal.SIGABRT: "Aborted",
}
KILLED = Cause(
    "", "Its process was killed.",
    "If nobody did that, the system was out of memory (`dmesg | grep -i oom` tells). Resume it.",
)
VANISHED = Cause(
    "", "Its process ended without a word: it was killed, or the machine was switched off.",
    "Resume it.",
)


def cause_of(output: str, code: int | None) -> Cause:
    """The cause that the last output and the exit code (negative: a signal) point to.

    code: None where nobody saw the end.
    """
    seen = output
    if code is not None and code < 0:
        seen += "\n" + _BY_SIGNAL.get(signal.Signals(-code), "")
    for cause in CAUSES:
        if re.search(cause.pattern, seen):
            return cause
    return KILLED if code in (-signal.SIGKILL, -signal.SIGTERM) else VANISHED


def interrupted(job_id: str, where: str, output_log: Path, since: int, code: int | None) \
        -> UserError:
    """The error for a job whose process ended before it could say why.

    where: the step it was at, in words. since: byte of output.log where this run's output begins.
    """
    cause = cause_of(tail(output_log, since), code)
    ended = "" if code is None else f" (its process ended with code {code})"
    return UserError(
        f"The job was interrupted at {where}.",
        f"{cause.title}{ended} Everything up to its last checkpoint is kept.",
        f"{cause.hint} `tunedesk jobs resume {job_id}` goes on from there.",
    )


def tail(path: Path, since: int = 0) -> str:
    """The last 16 KiB of a log, but nothing before byte `since`."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(min(since, size), size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
