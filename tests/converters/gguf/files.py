"""Small GGUFs made by our writer, and headers made by hand where the writer would refuse."""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters.gguf.quantize import quantize
from converters.gguf.tensor_types import TensorType
from converters.gguf.value_types import ValueType
from converters.gguf.writer import Field, TensorPlan, Written, encode_field, write_gguf

ARCHITECTURE = encode_field("general.architecture", ValueType.STRING, "llama")
TOKENS = ["<s>", "</s>", "a", "Ġthe", "日本", "\udcff"]


def small_file(path: Path) -> Written:
    """A GGUF with a value of every type and tensors of five types, 2 kB of header."""
    return write_gguf(path, every_field(), every_tensor())


def every_field() -> list[Field]:
    """One field of each value type, and the two that come last."""
    numbers: dict[str, tuple[ValueType, Any]] = {
        "x.u8": (ValueType.UINT8, 255),
        "x.i8": (ValueType.INT8, -128),
        "x.u16": (ValueType.UINT16, 65535),
        "x.i16": (ValueType.INT16, -32768),
        "x.u32": (ValueType.UINT32, 2**32 - 1),
        "x.i32": (ValueType.INT32, -(2**31)),
        "x.f32": (ValueType.FLOAT32, 0.5),
        "x.yes": (ValueType.BOOL, True),
        "x.text": (ValueType.STRING, "naïve 日本 \N{GRINNING FACE}"),
        "x.u64": (ValueType.UINT64, 2**64 - 1),
        "x.i64": (ValueType.INT64, -(2**63)),
        "x.f64": (ValueType.FLOAT64, 1e300),
    }
    return [
        ARCHITECTURE,
        *(encode_field(key, kind, value) for key, (kind, value) in numbers.items()),
        encode_field("x.tokens", ValueType.ARRAY, TOKENS, ValueType.STRING),
        encode_field("x.scores", ValueType.ARRAY, [0.5, -1.0], ValueType.FLOAT32),
        encode_field("x.flags", ValueType.ARRAY, [True, False], ValueType.BOOL),
        encode_field("x.none", ValueType.ARRAY, [], ValueType.INT32),
        encode_field("general.quantization_version", ValueType.UINT32, 2),
        encode_field("general.file_type", ValueType.UINT32, 3),
    ]


def every_tensor() -> list[TensorPlan]:
    """Tensors of several types and shapes, not in canonical order."""
    chance = np.random.default_rng(1)
    plans = []
    for name, shape, kind in (
        ("blk.10.ffn_up.weight", (3, 64), TensorType.Q4_1),
        ("blk.2.ffn_up.weight", (2, 64), TensorType.Q8_0),
        ("token_embd.weight", (6, 64), TensorType.F16),
        ("blk.2.attn_norm.weight", (5,), TensorType.F32),
        ("blk.2.experts.weight", (2, 3, 256), TensorType.Q6_K),
        ("output.weight", (1, 33), TensorType.BF16),
    ):
        rows = chance.standard_normal(shape).astype(np.float32).reshape(-1, shape[-1])
        plans.append(TensorPlan(name, shape, kind, partial(memoryview, quantize(rows, kind))))
    return plans


def handmade(
    path: Path,
    *,
    fields: list[bytes] | None = None,
    tensors: list[bytes] | None = None,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_fields: int | None = None,
    n_tensors: int | None = None,
    data: bytes = bytes(4096),
) -> Path:
    """A file of exactly these parts, right or wrong; counts follow the lists unless given."""
    fields = [ARCHITECTURE.raw] if fields is None else fields
    tensors = tensors or []
    announced = (
        len(tensors) if n_tensors is None else n_tensors,
        len(fields) if n_fields is None else n_fields,
    )
    head = struct.pack("<4sIQQ", magic, version, *announced) + b"".join(fields + tensors)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def table_row(
    name: str, dimensions: tuple[int, ...], kind: int = 0, offset: int = 0, *,
    n_dimensions: int | None = None,
) -> bytes:  # fmt: skip
    """One encoded row of the tensor table; dimensions in the file's order (row length first)."""
    count = len(dimensions) if n_dimensions is None else n_dimensions
    sizes = struct.pack(f"<I{len(dimensions)}Q", count, *dimensions)
    return text(name.encode()) + sizes + struct.pack("<IQ", kind, offset)


def text(raw: bytes, *, length: int | None = None) -> bytes:
    """An encoded string, with a false length if one is given."""
    return struct.pack("<Q", len(raw) if length is None else length) + raw
