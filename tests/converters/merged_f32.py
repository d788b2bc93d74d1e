"""The whole merged model in F32: the reference that an export itself never writes."""

from functools import partial
from pathlib import Path

from converters.adapter import Adapter
from converters.gguf.header import TensorType
from converters.gguf.reader import GgufFile
from converters.gguf.writer import TensorPlan, canonical_fields, write_gguf
from converters.merge import merged


def write_merged_f32(base: GgufFile, adapter: Adapter, output: Path) -> Path:
    """Base + adapter with every tensor in F32."""
    plans = [
        TensorPlan(info.name, info.shape, TensorType.F32, partial(merged, base, adapter, info.name))
        for info in base.header.tensors
    ]
    return write_gguf(output, canonical_fields(base.header), plans).path
