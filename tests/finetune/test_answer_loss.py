"""The loss of the learnt tokens and its gradient, in chunks, on dense heads and on blocks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from converters.gguf.header import TensorType
from converters.gguf.quantize import quantize
from finetune import answer_loss
from finetune.answer_loss import summed_loss, token_losses
from finetune.block_linear import BlockLinear, blocks_to_torch

VOCABULARY, WIDTH, TOKENS = 40, 64, 23


def _head(is_blocks: bool) -> nn.Linear:
    values = np.random.default_rng(0).standard_normal((VOCABULARY, WIDTH)).astype(np.float32)
    blocks = BlockLinear(blocks_to_torch(quantize(values, TensorType.Q8_0)), TensorType.Q8_0)
    if is_blocks:
        return blocks
    dense = nn.Linear(WIDTH, VOCABULARY, bias=False)
    dense.weight = nn.Parameter(blocks.dense(), requires_grad=False)
    return dense


def _states() -> torch.Tensor:
    return torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


TARGETS = torch.arange(TOKENS) * 7 % VOCABULARY


def _expected(states: torch.Tensor) -> torch.Tensor:
    logits = functional.linear(states, _head(is_blocks=False).weight)
    return functional.cross_entropy(logits, TARGETS, reduction="sum")


@pytest.mark.parametrize("chunk_rows", [1, 5, 100])
@pytest.mark.parametrize("is_blocks", [False, True])
def test_loss_and_gradient_are_those_of_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, chunk_rows: int, is_blocks: bool
) -> None:
    monkeypatch.setattr(answer_loss, "CHUNK_LOGITS", chunk_rows * VOCABULARY)
    ours, theirs = _states().requires_grad_(), _states().requires_grad_()
    loss, wanted = summed_loss(ours, _head(is_blocks), TARGETS), _expected(theirs)
    torch.testing.assert_close(loss, wanted)
    (gradient,) = torch.autograd.grad(loss / 3, ours)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted / 3, theirs)[0])


def test_16_bit_states_are_summed_in_float32() -> None:
    states = _states().bfloat16().requires_grad_()
    head = _head(is_blocks=True)
    loss = summed_loss(states, head, TARGETS)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(_expected(states.detach().float()).item(), rel=5e-3)
    loss.backward()
    assert states.grad is not None
    assert states.grad.dtype is torch.bfloat16


def test_losses_of_single_tokens_say_which_are_the_first_choice() -> None:
    head, states = _head(is_blocks=True), _states()
    choices = functional.linear(states, _head(is_blocks=False).weight).argmax(-1)
    targets = choices.clone()
    targets[4] = (choices[4] + 1) % VOCABULARY
    losses, is_right = token_losses(states, head, targets)
    assert is_right.tolist() == [at != 4 for at in range(TOKENS)]
    assert losses.sum().item() == pytest.approx(summed_loss(states, head, targets).item(), rel=1e-5)
