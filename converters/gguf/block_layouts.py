"""What the blocks of each type hold, told once for numpy and torch: split, join, dequantise.

Functions take the array module as `xp`; torch is never imported here. Values are bit for bit
ggml's: the product of a 16-bit scale and small integers is exact in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converters.gguf import small_blocks, super_blocks
from converters.gguf.block_fields import Array, Fields, cast
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorType

__all__ = ["LAYOUTS", "BlockLayout", "Fields", "layout"]

_CHUNK_VALUES = 1 << 20
"""On the CPU the float32 stage of so many values stays in the cache: 3 times faster for an 8B."""

Split = Callable[[Array, Any], Fields]
Join = Callable[[Fields, Any], Array]


@dataclass(frozen=True)
class BlockLayout:
    """One type: `values` numbers in `n_bytes` bytes, and how to take them apart."""

    type: TensorType
    values: int
    n_bytes: int
    _split: Split
    _join: Join

    def split(self, blocks: Array, xp: Any) -> Fields:
        """(rows, bytes_per_row) uint8 -> the fields; scales are views of the blocks."""
        return self._split(blocks.reshape(blocks.shape[0], -1, self.n_bytes), xp)

    def join(self, fields: Fields, xp: Any) -> Array:
        """The inverse of `split`: (rows, bytes_per_row) uint8, the same bytes again."""
        return self._join(fields, xp).reshape(fields.codes.shape[0], -1)

    def dequantize(self, blocks: Array, xp: Any, dtype: Any = None) -> Array:
        """(rows, bytes_per_row) uint8 -> (rows, row_length) in `dtype` (default float32).

        Computed in float32 and rounded once. The plain types may give a view of the blocks.
        """
        n_rows, row_bytes = blocks.shape
        row_length = row_bytes // self.n_bytes * self.values
        step = max(1, _CHUNK_VALUES // row_length)
        wanted = dtype or xp.float32
        if n_rows <= step or str(blocks.device) != "cpu":
            return cast(self._rows(blocks, xp), wanted)
        values = xp.empty((n_rows, row_length), dtype=wanted, device=blocks.device)
        for start in range(0, n_rows, step):
            values[start : start + step] = self._rows(blocks[start : start + step], xp)
        return values

    def _rows(self, blocks: Array, xp: Any) -> Array:
        return _weights(self.split(blocks, xp), xp).reshape(blocks.shape[0], -1)


def layout(tensor_type: TensorType) -> BlockLayout:
    """The layout of a type. Raises KeyError for a type that has none yet (see `LAYOUTS`)."""
    return LAYOUTS[tensor_type]


def _weights(fields: Fields, xp: Any) -> Array:
    if fields.scale is None:
        return fields.codes
    scale = cast(fields.scale, xp.float32)[..., None]
    weights = cast(fields.codes, xp.float32)
    if fields.sub_scales is not None:
        scale = (scale * cast(fields.sub_scales, xp.float32))[..., None]
        weights = weights.reshape(*fields.sub_scales.shape, -1)
    # In place, and two passes instead of addcmul: broadcast, that is 5 times slower in torch.
    weights *= scale
    if fields.minimum is not None:
        weights += cast(fields.minimum, xp.float32)[..., None]
    return weights


def _described(tensor_type: TensorType, split: Split, join: Join) -> BlockLayout:
    return BlockLayout(tensor_type, *BLOCK_SHAPE[tensor_type], split, join)


LAYOUTS: dict[TensorType, BlockLayout] = {
    entry.type: entry
    for entry in (
        _described(TensorType.F32, small_blocks.split_f32, small_blocks.join_plain),
        _described(TensorType.F16, small_blocks.split_f16, small_blocks.join_plain),
        _described(TensorType.BF16, small_blocks.split_bf16, small_blocks.join_bf16),
        _described(TensorType.Q4_0, small_blocks.split_q4_0, small_blocks.join_q4_0),
        _described(TensorType.Q4_1, small_blocks.split_q4_1, small_blocks.join_q4_1),
        _described(TensorType.Q5_0, small_blocks.split_q5_0, small_blocks.join_q5_0),
        _described(TensorType.Q5_1, small_blocks.split_q5_1, small_blocks.join_q5_1),
        _described(TensorType.Q8_0, small_blocks.split_q8_0, small_blocks.join_q8_0),
        _described(TensorType.Q6_K, super_blocks.split_q6_k, super_blocks.join_q6_k),
    )
}
