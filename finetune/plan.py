"""How much memory a run takes, term by term, before anything is loaded (closed form of FACTS 2.3).

Torch-free. Sizes in bytes; T is the number of tokens that go through the model at once.
"""

from dataclasses import dataclass

from converters.architectures import llama
from converters.gguf.header import Header, TensorInfo
from finetune.spec import TOKENS_A_PASS, TuneSpec

DEFAULT_RANK = 16
HEAD_CHUNK_VALUES = 1 << 24
ATTENTION_BY_PRODUCTS = 768
# Measured: 770 MB after the imports, 80 MB of kernels that the first step sets up.
PROGRAM_BYTES = 850_000_000
# A chunk of logits: 16 bit, float32, its log-softmax, and the gradient in 16 bit.
BYTES_A_LOGIT = 12
# Weights, gradients, both moments of AdamW and the copy that a NaN falls back to, each float32.
BYTES_A_TRAINED_WEIGHT = 20


@dataclass(frozen=True)
class Term:
    """One part of the memory, in words for the person."""

    name: str
    bytes: int


@dataclass(frozen=True)
class TunePlan:
    """The memory of a run at its largest micro-batch."""

    terms: tuple[Term, ...]

    @property
    def total_bytes(self) -> int:
        """All terms together."""
        return sum(term.bytes for term in self.terms)


@dataclass(frozen=True)
class Shape:
    """The widths of a model that memory depends on; `q` and `kv` are rows of attn_q and attn_k."""

    layers: int
    width: int
    heads: int
    q: int
    kv: int
    ff: int
    vocabulary: int


def plan_for(header: Header, spec: TuneSpec) -> TunePlan:
    """The plan of a run with these settings, for rows as long as the limit allows."""
    context = int(header.number(f"{header.architecture}.context_length", spec.max_tokens))
    tokens = min(max(spec.max_tokens, spec.tokens_per_step or 0), TOKENS_A_PASS, context)
    return TunePlan(memory_terms(header, spec.rank, max(tokens, min(spec.max_tokens, context))))


def default_memory_bytes(header: Header, tokens: int) -> int:
    """Bytes of a run with the default settings and rows of `tokens` tokens."""
    return TunePlan(memory_terms(header, DEFAULT_RANK, tokens)).total_bytes


def memory_terms(header: Header, rank: int, tokens: int) -> tuple[Term, ...]:
    """Every term for an adapter of `rank` on all linear layers of the blocks, computed in 16 bit,
    nothing recomputed in the backward pass."""
    shape = shape_of(header)
    trained = rank * sum(info.n_rows + info.row_length for info in linear_tensors(header))
    largest = max(info.n_rows * info.row_length for info in linear_tensors(header))
    return (
        Term("weights", sum(info.n_bytes for info in header.tensors)),
        Term("adapter and optimiser", trained * BYTES_A_TRAINED_WEIGHT),
        Term("activations", shape.layers * _saved_bytes(shape, rank, tokens)),
        Term("one layer's work", _working_bytes(shape, tokens) + 4 * largest),
        Term("output layer", _head_bytes(shape, tokens)),
        Term("the program itself", PROGRAM_BYTES),
    )


def shape_of(header: Header) -> Shape:
    """The model's widths, read from its tensors' shapes."""
    tensors = {info.name: info for info in header.tensors}
    q, k = tensors["blk.0.attn_q.weight"], tensors["blk.0.attn_k.weight"]
    return Shape(
        layers=int(header.number(f"{header.architecture}.block_count", 0)),
        width=q.row_length,
        heads=int(header.number(f"{header.architecture}.attention.head_count", 1)),
        q=q.n_rows,
        kv=k.n_rows,
        ff=tensors["blk.0.ffn_down.weight"].row_length,
        vocabulary=tensors["token_embd.weight"].n_rows,
    )


def linear_tensors(header: Header) -> list[TensorInfo]:
    """The tensors that an adapter touches: all linear layers of the blocks."""
    return [info for info in header.tensors if _is_linear(info.name)]


def touched_names(header: Header) -> list[str]:
    """Their names."""
    return [info.name for info in linear_tensors(header)]


def _is_linear(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "blk" and parts[2] in llama.BLOCK_LINEAR


def _saved_bytes(shape: Shape, rank: int, tokens: int) -> int:
    """What one layer keeps for the backward pass: inputs of its linear layers, each norm's input
    in float32 and output in 16 bit, q and attention, k and v twice (rows are copied), the gate, its
    activation and the up projection, and the inner product of each adapter. Measured on SmolLM2:
    25,242 bytes a token and layer where this gives 25,478 (rows of 120 tokens)."""
    widths = 6 * shape.width + 2 * shape.q + 4 * shape.kv + 4 * shape.ff
    inner = len(llama.BLOCK_LINEAR) * rank
    attention = shape.heads * min(tokens, ATTENTION_BY_PRODUCTS)
    return 2 * tokens * (widths + inner + attention) + 4 * tokens * shape.heads


def _working_bytes(shape: Shape, tokens: int) -> int:
    return 2 * tokens * (3 * shape.width + 2 * shape.q + 2 * shape.kv + 5 * shape.ff)


def _head_bytes(shape: Shape, tokens: int) -> int:
    chunk = max(1, min(tokens, HEAD_CHUNK_VALUES // shape.vocabulary))
    dense = 2 * shape.vocabulary * shape.width
    return dense + BYTES_A_LOGIT * chunk * shape.vocabulary + 2 * tokens * shape.width
