"""Causal attention within each row of a pack, one row after the other, without any mask.

Registered with transformers under `NAME`; a row never sees another row of its pack.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface

NAME = "tunedesk_rows"


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *,
    scaling: float | None = None,
    row_lengths: tuple[int, ...] | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend in rows of `row_lengths` tokens (all of them together: one row).

    query: (1, heads, tokens, head size), key and value with fewer heads for grouped queries.
    Returns (1, tokens, heads, head size). Raises ValueError for a mask: there is none.
    """
    if attention_mask is not None:
        raise ValueError("packed attention takes row lengths, not a mask")
    lengths = list(row_lengths or (query.shape[2],))
    is_grouped = query.shape[1] != key.shape[1]
    parts = [
        functional.scaled_dot_product_attention(
            *row, scale=scaling, is_causal=True, enable_gqa=is_grouped
        )
        for row in zip(*(part.split(lengths, dim=2) for part in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def register() -> None:
    """Make the attention known to transformers; doing it twice changes nothing."""
    AttentionInterface.register(NAME, packed_attention)
