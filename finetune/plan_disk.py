"""How much disk a run takes in its own folder, and how large the finished model becomes.

Torch-free. What a server's own store needs is not known here.
"""

from converters.gguf.header import Header
from converters.gguf.mixes import fitting
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import AUTO, SAME, UNQUANTISED
from converters.output_room import estimated_size
from finetune.plan_memory import Term
from finetune.plan_shape import linear_tensors, shape_of, touched_names
from finetune.spec import TuneSpec

FLOAT32 = 4
# The newest two and the best one are kept while the next is written.
KEPT_CHECKPOINTS = 3
# Below so many weights the proofs also compare with the file's F32 expansion (DESIGN 5).
EXPANDED_BELOW_WEIGHTS = 500_000_000
# Rows with their render, ids and flags as JSON, for each byte of data; journal and logs.
BYTES_A_DATA_BYTE, LOG_BYTES = 8, 20_000_000
NAMED_TYPES = ("Q5_K", "Q5_0", "Q6_K", "Q8_0", "F16")


def disk_terms(header: Header, spec: TuneSpec, data_bytes: int) -> tuple[Term, ...]:
    """What the run's folder holds at its fullest. data_bytes: of the data and held-out files."""
    trained = shape_of(header).trained_weights(spec.rank)
    usual, largest = model_bytes(header, spec)
    weights = sum(info.n_rows * info.row_length for info in header.tensors)
    expanded = FLOAT32 * weights if weights < EXPANDED_BELOW_WEIGHTS else 0
    terms = (
        Term("checkpoints: the newest two and the best", KEPT_CHECKPOINTS * 3 * FLOAT32 * trained),
        Term("the checkpoint being written", 3 * FLOAT32 * trained),
        Term("the adapter, in PEFT's format and as GGUF", 2 * FLOAT32 * trained),
        Term("the finished model at its largest", largest),
        Term("an attempt in a smaller type beside it", usual if largest > usual else 0),
        Term("the model in F32 while it is proven", expanded),
        Term("rows, tokens and logs", BYTES_A_DATA_BYTE * data_bytes + LOG_BYTES),
    )
    return tuple(term for term in terms if term.bytes)


def model_bytes(header: Header, spec: TuneSpec) -> tuple[int, int]:
    """The usual and the largest size of the finished file with the spec's export type."""
    names = touched_names(header)
    usual = estimated_size(header, spec.export_type, names)
    if spec.export_type != AUTO:
        return usual, usual
    return usual, max(usual, estimated_size(header, "F16", names))


def model_bytes_by_type(header: Header) -> dict[str, int]:
    """The size of the finished file for each export type that makes a larger or equal file than
    the base; a type that every touched tensor is in already is left out."""
    names = touched_names(header)
    sizes = {AUTO: estimated_size(header, AUTO, names), SAME: header.file_bytes}
    for name in NAMED_TYPES:
        if not _is_own_type(header, TensorType[name]):
            sizes[name] = estimated_size(header, name, names)
    return sizes


def _is_own_type(header: Header, kind: TensorType) -> bool:
    return all(
        info.type == fitting(kind, info.row_length) or info.type in UNQUANTISED
        for info in linear_tensors(header)
    )
