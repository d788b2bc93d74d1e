"""A pack through the model: the states that predict learnt tokens, their loss, held-out losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from converters.errors import Stopped
from converters.events import ShouldStop
from finetune.answer_loss import summed_loss, token_losses
from finetune.base_model import LlamaForCausalLM
from finetune.data.packing import Pack, pack
from finetune.data.segments import TokenRow

EVALUATION_TOKENS = 2_048


@dataclass(frozen=True)
class HeldOut:
    """How held-out rows fare: nats a learnt token, and the share of rows whose every learnt token
    is the model's first choice (what greedy decoding would write).
    """

    loss: float
    exact: float
    rows: int


def answer_states(model: LlamaForCausalLM, content: Pack) -> tuple[torch.Tensor, torch.Tensor]:
    """(states, targets): (n, width) in the model's dtype and (n,) int64, for the learnt tokens."""
    device = model.model.norm.weight.device
    ids = torch.tensor([content.ids()], device=device)
    positions = torch.tensor([content.positions()], device=device)
    output = model.model(input_ids=ids, position_ids=positions, row_lengths=content.lengths)
    places, targets = content.targets()
    states = output.last_hidden_state[0, torch.tensor(places, device=device)]
    return states, torch.tensor(targets, device=device)


def pack_loss(model: LlamaForCausalLM, content: Pack) -> torch.Tensor:
    """Summed loss of the pack's learnt tokens in nats: a float32 scalar with a gradient."""
    states, targets = answer_states(model, content)
    return summed_loss(states, head_of(model), targets)


@torch.no_grad()
def measure(
    model: LlamaForCausalLM,
    rows: Sequence[TokenRow],
    should_stop: ShouldStop,
    budget: int = EVALUATION_TOKENS,
) -> HeldOut:
    """Measure held-out rows without a gradient, at most `budget` tokens at once.

    Raises Stopped between two packs, ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("no held-out rows to measure")
    loss, tokens, exact = 0.0, 0, 0
    for content in pack(rows, budget):
        if should_stop():
            raise Stopped
        losses, is_right = token_losses(*_ordered(model, content))
        counts = [row.n_learnt for row in content.rows]
        loss += float(losses.double().sum())
        tokens += len(losses)
        exact += sum(bool(part.all()) for part in is_right.split(counts))
    return HeldOut(loss / tokens, exact / len(rows), len(rows))


def head_of(model: LlamaForCausalLM) -> nn.Linear:
    """The output layer: states -> logits."""
    return model.lm_head


def recompute_activations(model: LlamaForCausalLM) -> None:
    """From now on each layer keeps only its input while training and computes the rest again."""
    again = partial(checkpoint, use_reentrant=False)
    for layer in model.model.layers:
        # transformers' own method for it has two names within the versions that are supported.
        layer.gradient_checkpointing = True  # pyright: ignore
        layer._gradient_checkpointing_func = again  # noqa: SLF001 # pyright: ignore


def _ordered(
    model: LlamaForCausalLM, content: Pack
) -> tuple[torch.Tensor, nn.Linear, torch.Tensor]:
    states, targets = answer_states(model, content)
    return states, head_of(model), targets
