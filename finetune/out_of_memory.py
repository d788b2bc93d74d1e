"""Recognises that memory ran out, whoever says so, and puts it into words (FAULTS F1)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from converters.errors import UserError
from finetune.data.packing import Pack
from finetune.relief import Relief, next_rung, offer_text

_TEXTS = (
    "out of memory", "DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED", "Cannot allocate memory",
    "could not create a primitive",  # oneDNN, when it cannot get its scratch memory
)  # fmt: skip
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_WANTED = re.compile(r"(?:[Tt]ried to allocate|Unable to allocate) ([\d.]+) ([KMGTP]iB|bytes)")
_FREE = re.compile(r"([\d.]+) ([KMGTP]iB|bytes)(?: is)? free")


@dataclass
class OutOfMemory(UserError):
    """The memory ran out in a step, which was undone. `offer`: what may help, None for nothing."""

    offer: Relief | None = None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is torch's, Python's, numpy's or a CUDA library's word for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def wanted_bytes(text: str) -> int | None:
    """How much the failed request asked for, as its message says."""
    return _bytes(_WANTED.search(text))


def free_bytes(text: str, device: str) -> int | None:
    """How much was free: of the card as the message says, of the machine as the kernel says."""
    if device.startswith("cuda"):
        return _bytes(_FREE.search(text))
    try:
        meminfo = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo)
    return int(found[1]) * 1024 if found else None


def explained(
    text: str,
    device: str,
    relief: Relief,
    packs: Sequence[Pack],
    kept: str,
    *,
    is_measuring: bool = False,
) -> OutOfMemory:
    """The pause in words. packs: those that did not fit, none if the model itself did not.

    Held-out rows are never cut and keep no activations, so that only splitting helps them.
    """
    offer = next_rung(relief, packs) if packs else None
    if is_measuring and offer is not None and offer.split == relief.split:
        offer = None
    if offer is None:
        hint = "Choose a smaller model, or leave the longest rows out of the data."
    else:
        hint = offer_text(relief, offer)
    return OutOfMemory("Paused: out of memory.", f"{_amounts(text, device)}{kept}", hint, offer)


def _amounts(text: str, device: str) -> str:
    wanted, free = wanted_bytes(text), free_bytes(text, device)
    where = "on the GPU" if device.startswith("cuda") else "in this computer"
    if wanted is not None and free is not None:
        needed = f"The step needs {_size(wanted)} more, {_size(free)} are free {where}"
        limit = "" if wanted > free else ", but this process may not have more"
        return f"{needed}{limit}. "
    if free is not None:
        return f"{_size(free)} are free {where}. "
    return ""


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:,.1f} MB"


def _bytes(found: re.Match[str] | None) -> int | None:
    return int(float(found[1]) * _UNITS[found[2]]) if found else None
