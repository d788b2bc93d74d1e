"""Rows of a pack attend within themselves, by either kernel."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from finetune import packed_attention
from finetune.packed_attention import packed_attention as attend

LENGTHS = (5, 1, 12, 6)
TOKENS = sum(LENGTHS)


def _heads(dtype: torch.dtype, tokens: int = TOKENS) -> list[torch.Tensor]:
    """Query of 6 heads, key and value of 2, 16 wide."""
    chance = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, heads, tokens, 16, generator=chance).to(dtype).requires_grad_()
        for heads in (6, 2, 2)
    ]


def _reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Textbook attention in float64 under a block-diagonal causal mask."""
    rows = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    seen = (rows[:, None] == rows[None]).tril()
    key, value = (part.double().repeat_interleave(3, 1) for part in (key, value))
    scores = query.double() @ key.mT / 4
    return (scores.masked_fill(~seen, float("-inf")).softmax(-1) @ value).transpose(1, 2)


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)]
)
def test_packed_rows_equal_a_block_diagonal_mask(dtype: torch.dtype, limit: float) -> None:
    parts = _heads(dtype)
    exact = [part.detach().double().requires_grad_() for part in parts]
    output, _ = attend(nn.Module(), *parts, row_lengths=LENGTHS)
    wanted = _reference(*exact)
    assert output.shape == (1, TOKENS, 6, 16)
    assert output.dtype is dtype
    assert _relative(output.detach(), wanted.detach()) < limit
    gradient = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = torch.autograd.grad(output, parts, gradient)
    expected = torch.autograd.grad(wanted, exact, gradient.double())
    for ours, theirs in zip(found, expected, strict=True):
        assert _relative(ours, theirs) < limit


def test_short_and_long_rows_are_attended_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = _heads(torch.bfloat16)
    by_products, _ = attend(nn.Module(), *parts, row_lengths=LENGTHS)
    monkeypatch.setattr(packed_attention, "LONGEST_BY_PRODUCTS", 0)
    by_kernel, _ = attend(nn.Module(), *parts, row_lengths=LENGTHS)
    assert _relative(by_products.detach(), by_kernel.detach().double()) < 8e-3
    assert not torch.equal(by_products, by_kernel), "the same kernel ran twice"


def test_no_row_lengths_are_one_row() -> None:
    query, key, value = _heads(torch.float32)
    output, _ = attend(nn.Module(), query, key, value, scaling=0.5)
    wanted = functional.scaled_dot_product_attention(
        query, key, value, scale=0.5, is_causal=True, enable_gqa=True
    )
    assert torch.equal(output, wanted.transpose(1, 2))


def test_a_mask_is_refused() -> None:
    query, key, value = _heads(torch.float32)
    with pytest.raises(ValueError, match="row lengths, not a mask"):
        attend(nn.Module(), query, key, value, torch.ones(1))
