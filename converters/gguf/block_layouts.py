"""What the blocks of each type hold, told once for numpy and torch: split, join, dequantise.

Functions take the array module as `xp`; torch is never imported here. Layouts: ggml-common.h.
Values are bit for bit ggml's (products of a 16-bit scale and small integers are exact in float32).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converters.gguf.tensor_types import BLOCK_SHAPE, TensorType

Array = Any
"""A numpy array or a torch tensor."""


@dataclass(frozen=True)
class Fields:
    """The parts of (rows, blocks) blocks: weight = scale * sub_scales * codes + minimum.

    codes: (rows, blocks, values), small integers with the type's offset taken off, or the numbers
    themselves where the type has no blocks. scale, minimum: (rows, blocks) float16. sub_scales:
    (rows, blocks, sub-blocks) integers. Absent parts are None.
    """

    codes: Array
    scale: Array | None = None
    minimum: Array | None = None
    sub_scales: Array | None = None


@dataclass(frozen=True)
class BlockLayout:
    """One type: `values` numbers in `n_bytes` bytes, and how to take them apart."""

    type: TensorType
    values: int
    n_bytes: int
    _split: Callable[[Array, Any], Fields]
    _join: Callable[[Fields, Any], Array]

    def split(self, blocks: Array, xp: Any) -> Fields:
        """(rows, bytes_per_row) uint8 -> the fields; scales are views where that is possible."""
        return self._split(blocks.reshape(blocks.shape[0], -1, self.n_bytes), xp)

    def join(self, fields: Fields, xp: Any) -> Array:
        """The inverse of `split`: (rows, bytes_per_row) uint8, the same bytes again."""
        return self._join(fields, xp).reshape(fields.codes.shape[0], -1)

    def dequantize(self, blocks: Array, xp: Any, dtype: Any = None) -> Array:
        """(rows, bytes_per_row) uint8 -> (rows, row_length), float32 or rounded once to `dtype`."""
        weights = _weights(self.split(blocks, xp), xp).reshape(blocks.shape[0], -1)
        return weights if dtype is None else _cast(weights, dtype)


def layout(tensor_type: TensorType) -> BlockLayout:
    """The layout of a type. Raises KeyError for a type without one (issue 7 adds K formats)."""
    return LAYOUTS[tensor_type]


def _weights(fields: Fields, xp: Any) -> Array:
    if fields.scale is None:
        return _cast(fields.codes, xp.float32)
    scale = _cast(fields.scale, xp.float32)[..., None]
    weights = _cast(fields.codes, xp.float32)
    if fields.sub_scales is not None:
        scale = (scale * _cast(fields.sub_scales, xp.float32))[..., None]
        weights = weights.reshape(*fields.sub_scales.shape, -1)
    weights *= scale
    if fields.minimum is not None:
        weights += _cast(fields.minimum, xp.float32)[..., None]
    return weights


def _split_f32(blocks: Array, xp: Any) -> Fields:
    return Fields(_half(blocks, 0, xp.float32, 4))


def _join_plain(fields: Fields, xp: Any) -> Array:
    return _bytes(fields.codes, xp)


def _split_f16(blocks: Array, xp: Any) -> Fields:
    return Fields(_half(blocks, 0, xp.float16))


def _split_bf16(blocks: Array, xp: Any) -> Fields:
    # numpy has no bfloat16: the upper half of a float32 is one.
    wide = _cast(_half(blocks, 0, xp.int16), xp.int32) << 16
    return Fields(wide.view(xp.float32))


def _join_bf16(fields: Fields, xp: Any) -> Array:
    upper = _cast(fields.codes.view(xp.int32) >> 16, xp.int16)
    return _bytes(upper, xp)


def _split_q4_0(blocks: Array, xp: Any) -> Fields:
    return Fields(_cast(_nibbles(blocks[..., 2:], xp), xp.int8) - 8, _half(blocks, 0, xp.float16))


def _join_q4_0(fields: Fields, xp: Any) -> Array:
    codes = _cast(fields.codes + 8, xp.uint8)
    return _concatenated(xp, _bytes(fields.scale, xp), _packed_nibbles(codes))


def _split_q4_1(blocks: Array, xp: Any) -> Fields:
    return Fields(
        _nibbles(blocks[..., 4:], xp), _half(blocks, 0, xp.float16), _half(blocks, 2, xp.float16)
    )


def _join_q4_1(fields: Fields, xp: Any) -> Array:
    return _concatenated(
        xp, _bytes(fields.scale, xp), _bytes(fields.minimum, xp), _packed_nibbles(fields.codes)
    )


def _split_q5_0(blocks: Array, xp: Any) -> Fields:
    codes = _nibbles(blocks[..., 6:], xp) | _fifth_bits(blocks[..., 2:6], xp)
    return Fields(_cast(codes, xp.int8) - 16, _half(blocks, 0, xp.float16))


def _join_q5_0(fields: Fields, xp: Any) -> Array:
    codes = _cast(fields.codes + 16, xp.uint8)
    parts = (_bytes(fields.scale, xp), _packed_fifth_bits(codes, xp), _packed_nibbles(codes & 15))
    return _concatenated(xp, *parts)


def _split_q5_1(blocks: Array, xp: Any) -> Fields:
    codes = _nibbles(blocks[..., 8:], xp) | _fifth_bits(blocks[..., 4:8], xp)
    return Fields(codes, _half(blocks, 0, xp.float16), _half(blocks, 2, xp.float16))


def _join_q5_1(fields: Fields, xp: Any) -> Array:
    codes = fields.codes
    scales = (_bytes(fields.scale, xp), _bytes(fields.minimum, xp))
    return _concatenated(
        xp, *scales, _packed_fifth_bits(codes, xp), _packed_nibbles(codes & 15)
    )


def _split_q8_0(blocks: Array, xp: Any) -> Fields:
    return Fields(blocks[..., 2:].view(xp.int8), _half(blocks, 0, xp.float16))


def _join_q8_0(fields: Fields, xp: Any) -> Array:
    return _concatenated(xp, _bytes(fields.scale, xp), fields.codes.view(xp.uint8))


def _split_q6_k(blocks: Array, xp: Any) -> Fields:
    # 256 values in two halves of 128: 64 bytes of low nibbles and 32 bytes of upper bit pairs.
    shape = blocks.shape[:-1]
    low = blocks[..., :128].reshape(*shape, 2, 64)
    high = blocks[..., 128:192].reshape(*shape, 2, 32)
    quarters = [
        _cast((high >> (2 * quarter)) & 3, xp.uint8) << 4 for quarter in range(4)
    ]
    nibbles = [low[..., :32] & 15, low[..., 32:] & 15, low[..., :32] >> 4, low[..., 32:] >> 4]
    codes = xp.stack(
        [nibble | pair for nibble, pair in zip(nibbles, quarters, strict=True)], -2
    )
    return Fields(
        _cast(codes.reshape(*shape, 256), xp.int8) - 32,
        _half(blocks, 208, xp.float16),
        sub_scales=blocks[..., 192:208].view(xp.int8),
    )


def _join_q6_k(fields: Fields, xp: Any) -> Array:
    shape = fields.codes.shape[:-1]
    codes = _cast(fields.codes + 32, xp.uint8).reshape(*shape, 2, 4, 32)
    first, second, third, fourth = (codes[..., quarter, :] for quarter in range(4))
    low = _concatenated(
        xp, (first & 15) | ((third & 15) << 4), (second & 15) | ((fourth & 15) << 4)
    )
    high = (first >> 4) | ((second >> 4) << 2) | ((third >> 4) << 4) | ((fourth >> 4) << 6)
    assert fields.sub_scales is not None
    return _concatenated(
        xp, low.reshape(*shape, 128), high.reshape(*shape, 64),
        fields.sub_scales.view(xp.uint8), _bytes(fields.scale, xp),
    )  # fmt: skip


def _nibbles(packed: Array, xp: Any) -> Array:
    """(..., n) bytes -> (..., 2 n): the low nibbles of all bytes, then the high ones."""
    return _concatenated(xp, packed & 15, packed >> 4)


def _packed_nibbles(codes: Array) -> Array:
    half = codes.shape[-1] // 2
    return codes[..., :half] | (codes[..., half:] << 4)


def _fifth_bits(packed: Array, xp: Any) -> Array:
    """(..., 4) bytes -> (..., 32): bit i of the word, at its place as fifth bit of a code."""
    shifts = xp.arange(8, dtype=xp.uint8)
    if hasattr(packed, "device") and hasattr(shifts, "to"):
        shifts = shifts.to(packed.device)
    bits = ((packed[..., None] >> shifts) & 1) << 4
    return bits.reshape(*packed.shape[:-1], 32)


def _packed_fifth_bits(codes: Array, xp: Any) -> Array:
    bits = (codes >> 4).reshape(*codes.shape[:-1], 4, 8)
    packed = bits[..., 0]
    for place in range(1, 8):
        packed = packed | (bits[..., place] << place)
    return packed


def _half(blocks: Array, start: int, dtype: Any, width: int = 2) -> Array:
    return blocks[..., start : start + width].view(dtype)[..., 0]


def _bytes(numbers: Array, xp: Any) -> Array:
    return xp.stack([numbers], -1).view(xp.uint8)


def _cast(array: Array, dtype: Any) -> Array:
    return array.to(dtype) if hasattr(array, "to") else array.astype(dtype)


def _concatenated(xp: Any, *parts: Array) -> Array:
    return xp.concatenate(parts, -1)


_PARTS: dict[TensorType, tuple[Callable[[Array, Any], Fields], Callable[[Fields, Any], Array]]] = {
    TensorType.F32: (_split_f32, _join_plain),
    TensorType.F16: (_split_f16, _join_plain),
    TensorType.BF16: (_split_bf16, _join_bf16),
    TensorType.Q4_0: (_split_q4_0, _join_q4_0),
    TensorType.Q4_1: (_split_q4_1, _join_q4_1),
    TensorType.Q5_0: (_split_q5_0, _join_q5_0),
    TensorType.Q5_1: (_split_q5_1, _join_q5_1),
    TensorType.Q8_0: (_split_q8_0, _join_q8_0),
    TensorType.Q6_K: (_split_q6_k, _join_q6_k),
}
LAYOUTS = {
    tensor_type: BlockLayout(tensor_type, *BLOCK_SHAPE[tensor_type], *parts)
    for tensor_type, parts in _PARTS.items()
}
