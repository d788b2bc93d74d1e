"""Views into the file: what they hold, and what outlives what."""

from pathlib import Path

import numpy as np
import pytest

from converters.gguf.quantize import dequantize
from converters.gguf.reader import GgufFile
from converters.gguf.tensor_types import TensorType
from tests.converters.gguf.files import every_tensor, small_file


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_file(tmp_path / "small.gguf").path


def test_every_tensor_has_the_bytes_that_were_written(small: Path) -> None:
    with GgufFile(small) as file:
        for plan in every_tensor():
            assert bytes(file.tensor_bytes(plan.name)) == bytes(memoryview(plan.data()).cast("B"))


def test_blocks_are_rows_of_bytes_that_cannot_be_changed(small: Path) -> None:
    with GgufFile(small) as file:
        assert file.blocks("blk.10.ffn_up.weight").shape == (3, 40)
        assert file.blocks("blk.2.experts.weight").shape == (6, 210)
        assert file.blocks("blk.2.attn_norm.weight").shape == (1, 20)
        with pytest.raises(ValueError, match="read-only"):
            file.blocks("output.weight")[0, 0] = 1


def test_values_are_dequantised_in_the_shape_of_the_tensor(small: Path) -> None:
    with GgufFile(small) as file:
        experts = file.values("blk.2.experts.weight")
        assert (experts.shape, experts.dtype) == ((2, 3, 256), np.float32)
        rows = dequantize(file.blocks("blk.2.experts.weight"), TensorType.Q6_K)
        assert np.array_equal(experts.reshape(6, 256), rows)
        assert file.values("blk.2.attn_norm.weight").shape == (5,)


def test_views_outlive_the_file_and_new_ones_need_it_open(small: Path) -> None:
    with GgufFile(small) as file:
        blocks = file.blocks("token_embd.weight")
        before = blocks.copy()
    assert np.array_equal(blocks, before)
    with pytest.raises(ValueError, match="closed"):
        file.blocks("token_embd.weight")


def test_a_missing_tensor_is_a_key_error(small: Path) -> None:
    with GgufFile(small) as file, pytest.raises(KeyError, match="nothing"):
        file.tensor_bytes("nothing")


def test_forgotten_pages_leave_the_memory_and_come_back(smollm2: Path) -> None:
    name = "token_embd.weight"
    with GgufFile(smollm2) as file:
        total = int(file.blocks(name).sum(dtype=np.int64))
        read = _resident_file_kb()
        file.forget(name)
        assert read - _resident_file_kb() > 25_000
        assert int(file.blocks(name).sum(dtype=np.int64)) == total


def _resident_file_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssFile:")[1].split()[0])
