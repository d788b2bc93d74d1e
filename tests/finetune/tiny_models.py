"""A llama GGUF so small that a run takes a second: random weights of any type, no vocabulary."""

from functools import partial
from pathlib import Path

import numpy as np

from converters.gguf.header import TensorType, ValueType
from converters.gguf.quantize import quantize
from converters.gguf.writer import Field, TensorPlan, encode_field, write_gguf

WIDTH, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY, LAYERS = 64, 96, 4, 2, 48, 2
LINEAR = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH // 2, WIDTH),
    "attn_v": (WIDTH // 2, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (FEED_FORWARD, WIDTH),
    "ffn_up": (FEED_FORWARD, WIDTH),
    "ffn_down": (WIDTH, FEED_FORWARD),
}
NUMBERS = {
    "block_count": LAYERS,
    "context_length": 256,
    "embedding_length": WIDTH,
    "feed_forward_length": FEED_FORWARD,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
}


def tiny_model(
    path: Path,
    kind: TensorType = TensorType.Q8_0,
    *,
    has_head: bool = False,
    rope_factors: list[float] | None = None,
    left_out: str = "",
    architecture: str = "llama",
    fields: tuple[Field, ...] = (),
) -> Path:
    """Write a model whose weights are normal numbers in `kind`; always the same ones.

    has_head: an output layer of its own. left_out: the name of a tensor that is missing.
    """
    chance = np.random.default_rng(0)
    values = {name: _matrix(chance, shape) for name, shape in _matrices(has_head).items()}
    values |= {name: 1 + 0.1 * chance.standard_normal(WIDTH) for name in _norms()}
    if rope_factors:
        values["rope_freqs.weight"] = np.array(rope_factors)
    plans = [_plan(name, array, kind) for name, array in values.items() if name != left_out]
    write_gguf(path, [*_fields(architecture), *fields], plans)
    return path


def _matrices(has_head: bool) -> dict[str, tuple[int, int]]:
    outside = {"token_embd.weight": (VOCABULARY, WIDTH)}
    if has_head:
        outside["output.weight"] = (VOCABULARY, WIDTH)
    layers = range(LAYERS)
    return outside | {f"blk.{n}.{part}.weight": s for n in layers for part, s in LINEAR.items()}


def _norms() -> list[str]:
    parts = ("attn_norm", "ffn_norm")
    return ["output_norm.weight", *(f"blk.{n}.{p}.weight" for n in range(LAYERS) for p in parts)]


def _matrix(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return chance.standard_normal(shape) / np.sqrt(shape[1])


def _plan(name: str, values: np.ndarray, kind: TensorType) -> TensorPlan:
    of = kind if values.ndim == 2 else TensorType.F32
    blocks = quantize(values.astype(np.float32).reshape(-1, values.shape[-1]), of)
    return TensorPlan(name, values.shape, of, partial(memoryview, blocks))


def _fields(architecture: str) -> list[Field]:
    return [
        encode_field("general.architecture", ValueType.STRING, architecture),
        *(
            encode_field(f"{architecture}.{key}", ValueType.UINT32, number)
            for key, number in NUMBERS.items()
        ),
    ]
