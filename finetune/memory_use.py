"""How much memory the training process holds now."""

import sys
from pathlib import Path

import torch


def memory_bytes(device: str) -> int | None:
    """Peak of the GPU's allocator on CUDA, else the process's resident set; None if unknown."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    if not sys.platform.startswith("linux"):
        return None
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * _page_bytes()


def _page_bytes() -> int:
    import resource

    return resource.getpagesize()
