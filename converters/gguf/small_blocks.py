"""Blocks of 32 values with one scale, and the plain number types: how to split and join each.

Every `split` takes (rows, blocks, bytes of a block) uint8. Source: ggml-common.h.
"""

from typing import Any

from converters.gguf.block_fields import (
    Array,
    Fields,
    bytes_of,
    cast,
    fifth_bits,
    nibbles,
    numbers_at,
    packed_fifth_bits,
    packed_nibbles,
)


def split_f32(blocks: Array, xp: Any) -> Fields:
    """One float32 a block."""
    return Fields(numbers_at(blocks, 0, 4, xp.float32)[..., None])


def split_f16(blocks: Array, xp: Any) -> Fields:
    """One float16 a block."""
    return Fields(numbers_at(blocks, 0, 2, xp.float16)[..., None])


def split_bf16(blocks: Array, xp: Any) -> Fields:
    """One bfloat16 a block; numpy, which has none, gets the float32 of the same value."""
    if hasattr(xp, "bfloat16"):
        return Fields(numbers_at(blocks, 0, 2, xp.bfloat16)[..., None])
    wide = cast(numbers_at(blocks, 0, 2, xp.int16), xp.int32) << 16
    return Fields(wide.view(xp.float32)[..., None])


def join_plain(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_f32` and `split_f16`."""
    return bytes_of(fields.codes, xp)


def join_bf16(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_bf16`."""
    if hasattr(xp, "bfloat16"):
        return bytes_of(fields.codes, xp)
    return bytes_of(cast(fields.codes.view(xp.int32) >> 16, xp.int16), xp)


def split_q4_0(blocks: Array, xp: Any) -> Fields:
    """Scale, 16 bytes of nibbles; codes -8 to 7."""
    codes = nibbles(blocks[..., 2:], xp).view(xp.int8)
    codes -= 8
    return Fields(codes, numbers_at(blocks, 0, 2, xp.float16))


def join_q4_0(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_q4_0`."""
    codes = (fields.codes + 8).view(xp.uint8)
    return xp.concatenate([bytes_of(fields.scale, xp), packed_nibbles(codes)], -1)


def split_q4_1(blocks: Array, xp: Any) -> Fields:
    """Scale, minimum, 16 bytes of nibbles; codes 0 to 15."""
    scale, minimum = (numbers_at(blocks, start, 2, xp.float16) for start in (0, 2))
    return Fields(nibbles(blocks[..., 4:], xp), scale, minimum)


def join_q4_1(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_q4_1`."""
    scales = [bytes_of(fields.scale, xp), bytes_of(fields.minimum, xp)]
    return xp.concatenate([*scales, packed_nibbles(fields.codes)], -1)


def split_q5_0(blocks: Array, xp: Any) -> Fields:
    """Scale, 4 bytes of fifth bits, 16 bytes of nibbles; codes -16 to 15."""
    codes = nibbles(blocks[..., 6:], xp)
    codes |= fifth_bits(blocks[..., 2:6], xp)
    signed = codes.view(xp.int8)
    signed -= 16
    return Fields(signed, numbers_at(blocks, 0, 2, xp.float16))


def join_q5_0(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_q5_0`."""
    codes = (fields.codes + 16).view(xp.uint8)
    parts = [packed_fifth_bits(codes), packed_nibbles(codes & 15)]
    return xp.concatenate([bytes_of(fields.scale, xp), *parts], -1)


def split_q5_1(blocks: Array, xp: Any) -> Fields:
    """Scale, minimum, 4 bytes of fifth bits, 16 bytes of nibbles; codes 0 to 31."""
    codes = nibbles(blocks[..., 8:], xp)
    codes |= fifth_bits(blocks[..., 4:8], xp)
    scale, minimum = (numbers_at(blocks, start, 2, xp.float16) for start in (0, 2))
    return Fields(codes, scale, minimum)


def join_q5_1(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_q5_1`."""
    scales = [bytes_of(fields.scale, xp), bytes_of(fields.minimum, xp)]
    parts = [packed_fifth_bits(fields.codes), packed_nibbles(fields.codes & 15)]
    return xp.concatenate([*scales, *parts], -1)


def split_q8_0(blocks: Array, xp: Any) -> Fields:
    """Scale, 32 signed bytes; the codes are a view."""
    return Fields(blocks[..., 2:].view(xp.int8), numbers_at(blocks, 0, 2, xp.float16))


def join_q8_0(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_q8_0`."""
    return xp.concatenate([bytes_of(fields.scale, xp), fields.codes.view(xp.uint8)], -1)
