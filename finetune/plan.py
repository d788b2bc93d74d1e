"""What a run will need, before anything is loaded: memory here, disk in plan_disk.py.

Torch-free. With the rows at hand the plan is for the largest micro-batch that the packing makes,
without them for rows as long as the limit allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from converters.gguf.header import Header
from finetune.data.packing import pack
from finetune.data.segments import TokenRow
from finetune.plan_activations import Compute, MicroBatch, costliest
from finetune.plan_memory import PROGRAM_BYTES, MemoryCase, Term, memory_terms
from finetune.plan_shape import shape_of, touched_names
from finetune.spec import TOKENS_A_PASS, TuneSpec, default_tokens_per_step

__all__ = [
    "PROGRAM_BYTES", "Compute", "MemoryCase", "MicroBatch", "Term", "TunePlan", "case_for",
    "default_memory_bytes", "memory_terms", "plan_for", "plan_of", "touched_names",
]  # fmt: skip

DEFAULT_RANK = 16
PROCESSOR = Compute()


@dataclass(frozen=True)
class TunePlan:
    """The memory of a run at its largest micro-batch."""

    case: MemoryCase
    terms: tuple[Term, ...]

    @property
    def total_bytes(self) -> int:
        """All terms together."""
        return sum(term.bytes for term in self.terms)


def plan_for(
    header: Header,
    spec: TuneSpec,
    compute: Compute = PROCESSOR,
    rows: Sequence[TokenRow] | None = None,
) -> TunePlan:
    """The plan of a run with these settings on these training rows (None: not read yet)."""
    return plan_of(header, case_for(header, spec, compute, rows))


def plan_of(header: Header, case: MemoryCase) -> TunePlan:
    """The plan of one case."""
    return TunePlan(case, memory_terms(header, case))


def case_for(
    header: Header, spec: TuneSpec, compute: Compute, rows: Sequence[TokenRow] | None
) -> MemoryCase:
    """What the memory of a run depends on. A base in float32 is computed in float32."""
    if spec.base == "f32":
        compute = replace(compute, value_bytes=4)
    if rows:
        shape = shape_of(header)
        batch = costliest(micro_batches(rows, spec), shape, spec.rank, compute)
    else:
        batch = _longest_batch(header, spec)
    return MemoryCase(batch, spec.rank, spec.base, compute, spec.dropout, spec.recompute)


def micro_batches(rows: Sequence[TokenRow], spec: TuneSpec) -> list[MicroBatch]:
    """What goes through the model at once, as the training packs it."""
    epoch_tokens = sum(len(row.ids) for row in rows)
    budget = min(spec.tokens_per_step or default_tokens_per_step(epoch_tokens), TOKENS_A_PASS)
    return [MicroBatch(content.lengths, content.learnt_tokens) for content in pack(rows, budget)]


def default_memory_bytes(header: Header, tokens: int, compute: Compute = PROCESSOR) -> int:
    """Bytes of a run with the default settings and one row of `tokens` tokens at once."""
    case = MemoryCase(MicroBatch((tokens,), tokens), DEFAULT_RANK, compute=compute)
    return plan_of(header, case).total_bytes


def _longest_batch(header: Header, spec: TuneSpec) -> MicroBatch:
    """As many rows of the greatest length as go through at once, at least one."""
    context = int(header.number(f"{header.architecture}.context_length", spec.max_tokens))
    length = min(spec.max_tokens, context)
    budget = min(spec.tokens_per_step or TOKENS_A_PASS, TOKENS_A_PASS)
    count = max(1, budget // length)
    return MicroBatch((length,) * count, length * count)
