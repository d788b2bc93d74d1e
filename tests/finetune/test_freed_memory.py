"""Freed memory is kept within the block and given back after it."""

import platform

import pytest
import torch

from finetune.freed_memory import freed_memory_kept
from finetune.memory_use import memory_bytes

MIB = 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the switch")
def test_freed_memory_stays_within_the_block_and_goes_at_its_end() -> None:
    with freed_memory_kept():
        large = [torch.ones(8 * MIB, dtype=torch.uint8) for _ in range(20)]
        held = memory_bytes("cpu")
        del large
        kept = memory_bytes("cpu")
    left = memory_bytes("cpu")
    assert held is not None
    assert kept is not None
    assert left is not None
    assert kept > held - 20 * MIB
    assert left < held - 120 * MIB


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with freed_memory_kept():
        assert torch.ones(3).sum() == 3
