"""Super-blocks of 256 values with scales of their sub-blocks (the K types): split and join.

Every `split` takes (rows, blocks, bytes of a block) uint8. Source: ggml-common.h. The place for
Q2_K to Q5_K, whose minima have sub-scales too.
"""

from typing import Any

from converters.gguf.block_fields import (
    NIBBLES,
    Array,
    Fields,
    as_words,
    bytes_of,
    numbers_at,
)

_PAIRS = 0x0303030303030303


def split_q6_k(blocks: Array, xp: Any) -> Fields:
    """128 bytes of nibbles, 64 bytes of upper bit pairs, 16 sub-scales, scale; codes -32 to 31.

    Each half of 128 values is four quarters of 32: quarters 0 and 1 are the low nibbles of the
    half's 64 bytes, 2 and 3 the high ones; quarter q has the bit pair q of the half's 32 bytes.
    """
    halves = (*blocks.shape[:-1], 2, -1)
    low = as_words(blocks[..., :128], xp).reshape(halves)
    high = as_words(blocks[..., 128:192], xp).reshape(halves)
    low_nibbles, high_nibbles = low & NIBBLES, (low >> 4) & NIBBLES
    quarters = [
        low_nibbles[..., :4] | ((high & _PAIRS) << 4),
        low_nibbles[..., 4:] | (((high >> 2) & _PAIRS) << 4),
        high_nibbles[..., :4] | (((high >> 4) & _PAIRS) << 4),
        high_nibbles[..., 4:] | (((high >> 6) & _PAIRS) << 4),
    ]
    codes = xp.concatenate(quarters, -1).view(xp.int8).reshape(*blocks.shape[:-1], 256)
    codes -= 32
    scale = numbers_at(blocks, 208, 2, xp.float16)
    return Fields(codes, scale, sub_scales=blocks[..., 192:208].view(xp.int8))


def join_q6_k(fields: Fields, xp: Any) -> Array:
    """The inverse of `split_q6_k`."""
    if fields.sub_scales is None:
        raise ValueError("Q6_K fields need sub-scales")
    shape = fields.codes.shape[:-1]
    codes = (fields.codes + 32).view(xp.uint8).reshape(*shape, 2, 4, 32)
    first, second, third, fourth = (codes[..., quarter, :] for quarter in range(4))
    low = [(first & 15) | ((third & 15) << 4), (second & 15) | ((fourth & 15) << 4)]
    high = (first >> 4) | ((second >> 4) << 2) | ((third >> 4) << 4) | ((fourth >> 4) << 6)
    parts = [xp.concatenate(low, -1).reshape(*shape, 128), high.reshape(*shape, 64)]
    return xp.concatenate(
        [*parts, fields.sub_scales.view(xp.uint8), bytes_of(fields.scale, xp)], -1
    )
