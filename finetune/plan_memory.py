"""The memory of a run, term by term, before anything is loaded (closed form of FACTS 2.3).

Torch-free. Measured against the peak of real runs by tests/benchmarks/bench_plan.py.
"""

from dataclasses import dataclass

from converters.gguf.header import Header
from finetune.plan_activations import (
    Compute,
    MicroBatch,
    logits_bytes,
    recomputed_bytes,
    saved_bytes,
    unpacked_bytes,
    working_bytes,
)
from finetune.plan_shape import Shape, shape_of
from finetune.spec import BaseForm

FLOAT32 = 4
EVALUATION_TOKENS = 2_048
# Resident after torch, transformers and peft were imported; then what the first step sets up.
PROGRAM_BYTES, KERNEL_BYTES = 770_000_000, 30_000_000
# Freed pieces between kept ones that nothing fits into, as a share of the activations: glibc's
# heap on SmolLM2, 15 shapes, 0.18 to 0.40 in 16 bit and 0.56 to 0.95 in float32.
GAPS_16_BIT, GAPS_FLOAT32 = 0.3, 0.85
# CUDA: the context of a current driver, cuBLAS on Hopper, the caching allocator's segments.
CONTEXT_BYTES, WORKSPACE_BYTES = 500_000_000, 32 << 20
TENSOR_STEP, SEGMENT_BYTES, CUDA_GAPS = 512, 20 << 20, 0.03


@dataclass(frozen=True)
class Term:
    """One part of the memory, in words for the person."""

    name: str
    bytes: int


@dataclass(frozen=True)
class MemoryCase:
    """Everything that the memory of a run depends on, beside the model."""

    batch: MicroBatch
    rank: int = 16
    form: BaseForm = "blocks"
    compute: Compute = Compute()
    dropout: float = 0.0
    recompute: bool = False


def memory_terms(header: Header, case: MemoryCase) -> tuple[Term, ...]:
    """Every term of a run whose largest micro-batch is `case.batch`."""
    shape = shape_of(header)
    terms = [
        *_weight_terms(header, shape, case),
        *_adapter_terms(shape, case),
        *_step_terms(shape, case),
    ]
    return tuple(term for term in [*terms, *_fixed_terms(terms, case)] if term.bytes)


def _weight_terms(header: Header, shape: Shape, case: MemoryCase) -> list[Term]:
    vectors = sum(info.row_length for info in header.tensors if len(info.shape) == 1)
    size = FLOAT32 if case.form == "f32" else case.compute.value_bytes
    if case.form != "blocks":
        linear, outside = size * shape.linear_weights, size * shape.outside_weights
    else:
        matrices = [info for info in header.tensors if len(info.shape) == 2]
        linear = sum(_rounded(t.n_bytes, case) for t in matrices if t.name.startswith("blk."))
        outside = sum(_rounded(t.n_bytes, case) for t in matrices if t.name[:4] != "blk.")
    form = "blocks" if case.form == "blocks" else "16 bit" if size == 2 else "float32"
    return [
        Term(f"the base's layers in {form}", linear),
        Term("embedding, output layer and norms", outside + size * vectors),
    ]


def _rounded(n_bytes: int, case: MemoryCase) -> int:
    step = TENSOR_STEP if case.compute.device == "cuda" else 64
    return -(-n_bytes // step) * step


def _adapter_terms(shape: Shape, case: MemoryCase) -> list[Term]:
    trained = shape.trained_weights(case.rank)
    copies = case.compute.value_bytes * trained if case.compute.value_bytes < FLOAT32 else 0
    return [
        Term("the adapter's weights", FLOAT32 * trained),
        Term("their gradients", FLOAT32 * trained),
        Term("the optimiser's two moments", 2 * FLOAT32 * trained),
        Term("a copy of the adapter to fall back to", FLOAT32 * trained),
        Term("the adapter in 16 bit for the products", copies),
    ]


def _step_terms(shape: Shape, case: MemoryCase) -> list[Term]:
    """What one step has in memory at once; measuring or a checkpoint may take more, between two."""
    compute, batch = case.compute, case.batch
    activations = _activations(shape, case)
    is_packed = case.form == "blocks"
    terms = [
        Term("activations kept for the backward pass", activations),
        Term("one layer's work", working_bytes(shape, batch.tokens, compute)),
        Term("one layer's weights, unpacked",
             unpacked_bytes(shape.largest_linear, compute) * is_packed),
        Term("the output layer, unpacked", _head_bytes(shape, case)),
        Term("the output layer's answers", logits_bytes(shape, batch.learnt, compute)),
    ]
    if compute.device == "cpu":
        share = GAPS_16_BIT if compute.value_bytes == 2 else GAPS_FLOAT32
        terms.append(Term("gaps between freed pieces", int(share * activations)))
    step = sum(term.bytes for term in terms)
    measuring = max(0, _evaluation_bytes(shape, case) - step)
    return [
        *terms, Term("measuring held-out rows beyond that", measuring),
        Term("a checkpoint on its way to the disk", _checkpoint_bytes(shape, case)),
    ]  # fmt: skip


def _activations(shape: Shape, case: MemoryCase) -> int:
    of = (shape, case.rank, case.batch, case.compute, case.dropout)
    return recomputed_bytes(*of) if case.recompute else shape.layers * saved_bytes(*of)


def _evaluation_bytes(shape: Shape, case: MemoryCase) -> int:
    tokens = EVALUATION_TOKENS
    scores = 2 * case.compute.value_bytes * shape.heads * 768 * 768 * case.compute.by_products
    head = _head_bytes(shape, case)
    work = working_bytes(shape, tokens, case.compute) + scores
    return work + head + logits_bytes(shape, tokens, case.compute)


def _checkpoint_bytes(shape: Shape, case: MemoryCase) -> int:
    """Adapter and both moments as tensors and as the bytes of files. Of what a step has freed only
    the large pieces of the output layer hold them; a card keeps none of it."""
    if case.compute.device != "cpu":
        return 0
    copies = 2 * 3 * FLOAT32 * shape.trained_weights(case.rank)
    freed = logits_bytes(shape, case.batch.learnt, case.compute) + _head_bytes(shape, case)
    return max(0, copies - freed)


def _head_bytes(shape: Shape, case: MemoryCase) -> int:
    is_packed = case.form == "blocks"
    return unpacked_bytes(shape.vocabulary * shape.width, case.compute) * is_packed


def _fixed_terms(terms: list[Term], case: MemoryCase) -> list[Term]:
    if case.compute.device == "cpu":
        return [
            Term("what the first step sets up", KERNEL_BYTES),
            Term("the program itself", PROGRAM_BYTES),
        ]
    held = sum(term.bytes for term in terms)
    return [
        Term("gaps of the card's allocator", int(CUDA_GAPS * held) + SEGMENT_BYTES),
        Term("CUDA and its workspace", CONTEXT_BYTES + WORKSPACE_BYTES),
    ]
