"""Every tensor of a GGUF as float32: the file on which llama.cpp and torch agree to 1e-12."""

import math
from collections.abc import Buffer, Callable
from pathlib import Path

from converters.events import ShouldStop
from converters.gguf.header import ValueType
from converters.gguf.mixes import file_type_of
from converters.gguf.reader import GgufFile
from converters.gguf.tensor_types import TensorType
from converters.gguf.writer import (
    FILE_TYPE_KEY,
    TensorPlan,
    Written,
    canonical_fields,
    encode_field,
    write_gguf,
)
from converters.output_room import check_room, writing


def expand_to_f32(gguf: Path, output: Path, should_stop: ShouldStop | None = None) -> Written:
    """Write `output`, the same model with all tensors in F32 (4 bytes a weight).

    llama.cpp quantises activations for quantised weights, which torch does not: on the expansion
    both compute the same. Raises UserError if the disk is too small, Stopped when asked to.
    """
    with GgufFile(gguf) as base:
        header = base.header
        file_type = encode_field(FILE_TYPE_KEY, ValueType.UINT32, file_type_of(TensorType.F32))
        plans = [
            TensorPlan(info.name, info.shape, TensorType.F32, _values(base, info.name))
            for info in header.tensors
        ]
        needed = header.data_start + 4 * sum(math.prod(info.shape) for info in header.tensors)
        check_room(output, needed)
        with writing(output, needed):
            fields = canonical_fields(header, replaced={FILE_TYPE_KEY: file_type})
            return write_gguf(output, fields, plans, should_stop=should_stop)


def _values(base: GgufFile, name: str) -> Callable[[], Buffer]:
    return lambda: base.values(name).data
