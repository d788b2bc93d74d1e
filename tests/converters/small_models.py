"""Small GGUFs for the export tests: real layers cut from SmolLM2, and made ones of any type."""

from functools import partial
from pathlib import Path

import numpy as np

from converters.gguf.header import TensorType, ValueType
from converters.gguf.mixes import file_type_of
from converters.gguf.quantize import quantize
from converters.gguf.reader import GgufFile
from converters.gguf.writer import (
    TensorPlan,
    canonical_fields,
    encode_field,
    write_gguf,
)

WIDTH, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY = 256, 512, 4, 2, 64
_SHAPES = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH // 2, WIDTH),
    "attn_v": (WIDTH // 2, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (FEED_FORWARD, WIDTH),
    "ffn_up": (FEED_FORWARD, WIDTH),
    "ffn_down": (WIDTH, FEED_FORWARD),
}


def cut_model(base: Path, output: Path, *, layers: int = 2, vocab_rows: int | None = None) -> Path:
    """The first layers of a llama GGUF, with all tokens or only the first `vocab_rows` of them."""
    with GgufFile(base) as file:
        count = encode_field("llama.block_count", ValueType.UINT32, layers)
        plans = []
        for info in file.header.tensors:
            if info.name.startswith("blk.") and int(info.name.split(".")[1]) >= layers:
                continue
            data, shape = file.tensor_bytes(info.name), info.shape
            if info.name == "token_embd.weight" and vocab_rows:
                data = data[: info.n_bytes // shape[0] * vocab_rows]
                shape = (vocab_rows, shape[1])
            plans.append(TensorPlan(info.name, shape, info.type, partial(memoryview, data)))
        fields = canonical_fields(file.header, replaced={"llama.block_count": count})
        write_gguf(output, fields, plans)
    return output


def made_model(output: Path, kind: TensorType, *, seed: int = 0) -> Path:
    """One llama layer 256 wide with normal weights in `kind`; it has no vocabulary."""
    chance = np.random.default_rng(seed)
    plans = []
    for part, shape in {**_SHAPES, "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}.items():
        values = chance.standard_normal(shape).astype(np.float32) * np.float32(0.05)
        of = kind if len(shape) == 2 else TensorType.F32
        blocks = quantize(values.reshape(-1, shape[-1]), of)
        plans.append(TensorPlan(f"blk.0.{part}.weight", shape, of, partial(memoryview, blocks)))
    head = quantize(np.full((VOCABULARY, WIDTH), 0.5, np.float32), TensorType.F16)
    plans.append(
        TensorPlan("token_embd.weight", head.shape[:1] + (WIDTH,), TensorType.F16, lambda: head)
    )
    write_gguf(output, _fields(kind), plans)
    return output


def _fields(kind: TensorType) -> list:
    numbers = {
        "llama.block_count": 1,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "general.quantization_version": 2,
        "general.file_type": file_type_of(kind),
    }
    return [
        encode_field("general.architecture", ValueType.STRING, "llama"),
        *(encode_field(key, ValueType.UINT32, number) for key, number in numbers.items()),
    ]
