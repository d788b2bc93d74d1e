"""Cross entropy of the learnt tokens alone: the head never sees the other positions.

The gradient of the states is computed with the loss, so that a head in blocks is dequantised
once a pass and no logits are kept. Memory: one chunk of logits in float32.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from finetune.block_linear import BlockLinear

CHUNK_LOGITS = 2**24


def summed_loss(states: torch.Tensor, head: nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """Sum over the learnt tokens of -log p, in nats: a float32 scalar.

    states: (n, width), those that predict; targets: (n,) int64. The head is frozen.
    """
    loss: torch.Tensor = _SummedLoss.apply(states, _weight(head, states.dtype), targets)  # pyright: ignore
    return loss


@torch.no_grad()
def token_losses(
    states: torch.Tensor, head: nn.Linear, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses, is_right), each (n,): -log p of each target and whether it is the first choice."""
    weight = _weight(head, states.dtype)
    losses: list[torch.Tensor] = []
    is_right: list[torch.Tensor] = []
    for part, wanted in _chunks(states, targets, weight.shape[0]):
        logits = functional.linear(part, weight).float()
        losses.append(functional.cross_entropy(logits, wanted, reduction="none"))
        is_right.append(logits.argmax(-1) == wanted)
    return torch.cat(losses), torch.cat(is_right)


def _weight(head: nn.Linear, dtype: torch.dtype) -> torch.Tensor:
    return head.dense(dtype) if isinstance(head, BlockLinear) else head.weight


def _chunks(
    states: torch.Tensor, targets: torch.Tensor, vocabulary: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rows = max(1, CHUNK_LOGITS // vocabulary)
    return zip(states.split(rows), targets.split(rows), strict=True)


class _SummedLoss(torch.autograd.Function):
    """Loss and the gradient of the states in one pass over chunks of rows."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        loss = states.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(states)
        start = 0
        for part, wanted in _chunks(states, targets, weight.shape[0]):
            log_p = functional.linear(part, weight).float().log_softmax(-1)
            loss += functional.nll_loss(log_p, wanted, reduction="sum")
            difference = log_p.exp_()
            difference[torch.arange(len(wanted), device=wanted.device), wanted] -= 1.0
            gradient[start : start + len(part)] = difference.to(states.dtype) @ weight
            start += len(part)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None, None
