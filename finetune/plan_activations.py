"""How many bytes the tensors of one micro-batch take (FACTS 2.3, counted on the code that runs).

Every figure was counted tensor by tensor with saved-tensor hooks on SmolLM2: 26,092 bytes a token
and layer for rows of 128 tokens in 16 bit, 24,019 for 1,024, and 42,751 in float32; these forms
give the same within 2 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune.plan_shape import Shape

# As `packed_attention` and `answer_loss`, which may not be imported here: they need torch.
LONGEST_BY_PRODUCTS = 768
CHUNK_LOGITS = 1 << 24
LINEAR_A_LAYER = 7
FLOAT32 = 4


@dataclass(frozen=True)
class MicroBatch:
    """The rows that go through the model at once: their lengths, and how many tokens are learnt."""

    lengths: tuple[int, ...]
    learnt: int

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(self.lengths)


@dataclass(frozen=True)
class Compute:
    """Where a run computes (`cpu` or `cuda`), and how many bytes one value has there."""

    device: str = "cpu"
    value_bytes: int = 2

    @property
    def by_products(self) -> bool:
        """Whether short rows attend by two products, which keep their scores."""
        return self.device == "cpu" and self.value_bytes == 2


def saved_bytes(
    shape: Shape, rank: int, batch: MicroBatch, compute: Compute, dropout: float = 0.0
) -> int:
    """What one layer keeps for the backward pass.

    The inputs of its linear layers, each norm's input in float32, gate, its activation and up, q,
    k and v, and the inner product of each adapter; beside them the attention's.
    """
    size, d = compute.value_bytes, shape.width
    # In float32 the norm's input is the stream itself, else a copy of twice the size.
    values = 2 * d + 2 * shape.q + 2 * shape.kv + 4 * shape.ff + LINEAR_A_LAYER * rank
    a_token = size * values + 2 * FLOAT32 * (d + 1)
    if dropout:
        # peft's own path: each input again in float32, and one byte a value of what was left out.
        a_token += (FLOAT32 + 1) * (5 * d + shape.q + shape.ff)
    return batch.tokens * a_token + _attention_bytes(shape, batch, compute)


def recomputed_bytes(
    shape: Shape, rank: int, batch: MicroBatch, compute: Compute, dropout: float = 0.0
) -> int:
    """All layers where only their inputs are kept, and one layer's own tensors at a time."""
    inputs = compute.value_bytes * batch.tokens * shape.width * shape.layers
    return inputs + saved_bytes(shape, rank, batch, compute, dropout)


def working_bytes(shape: Shape, tokens: int, compute: Compute) -> int:
    """One layer's gradients and products on their way back."""
    values = 3 * shape.width + 2 * shape.q + 2 * shape.kv + 5 * shape.ff
    return compute.value_bytes * tokens * values


def logits_bytes(shape: Shape, learnt: int, compute: Compute) -> int:
    """One piece of the output layer's answers: in float32, and once more while they are made."""
    rows = max(1, min(learnt, CHUNK_LOGITS // shape.vocabulary))
    states = compute.value_bytes * 2 * learnt * shape.width
    return rows * shape.vocabulary * 2 * FLOAT32 + states


def unpacked_bytes(weights: int, compute: Compute) -> int:
    """A tensor of blocks as numbers. On the processor it is unpacked piece by piece; a card does
    it whole, by way of float32."""
    if compute.device == "cpu":
        return compute.value_bytes * weights
    return (FLOAT32 + compute.value_bytes) * weights


def costliest(
    batches: Sequence[MicroBatch], shape: Shape, rank: int, compute: Compute
) -> MicroBatch:
    """The micro-batch that needs most memory."""
    def cost(batch: MicroBatch) -> int:
        kept = shape.layers * saved_bytes(shape, rank, batch, compute)
        return kept + logits_bytes(shape, batch.learnt, compute)

    return max(batches, key=cost)


def _attention_bytes(shape: Shape, batch: MicroBatch, compute: Compute) -> int:
    """By products: the scores of every pair of places. Else q and the answer, and one number a
    head."""
    short = [n for n in batch.lengths if compute.by_products and n <= LONGEST_BY_PRODUCTS]
    long_tokens = batch.tokens - sum(short)
    size = compute.value_bytes
    by_flash = long_tokens * (size * shape.q + FLOAT32 * shape.heads)
    return by_flash + size * shape.heads * sum(n * n for n in short)
