"""The memory plan, term by term, against numbers worked out by hand."""

from pathlib import Path
from typing import Any

from converters.gguf.header import Header, TensorInfo, TensorType, read_header
from finetune.plan import (
    PROGRAM_BYTES,
    Shape,
    default_memory_bytes,
    memory_terms,
    plan_for,
    shape_of,
    touched_names,
)
from finetune.spec import parse

LAYER_8B = {
    "attn_q": (4096, 4096), "attn_k": (1024, 4096), "attn_v": (1024, 4096),
    "attn_output": (4096, 4096), "ffn_gate": (14336, 4096), "ffn_up": (14336, 4096),
    "ffn_down": (4096, 14336),
}  # fmt: skip


def _llama_8b() -> Header:
    """The table of Llama-3.1-8B in Q4_0, embedding and head too (no file behind it)."""
    shapes = {"token_embd.weight": (128256, 4096), "output.weight": (128256, 4096)}
    for layer in range(32):
        shapes |= {f"blk.{layer}.{part}.weight": shape for part, shape in LAYER_8B.items()}
    tensors = tuple(
        TensorInfo(name, shape, TensorType.Q4_0, 0, shape[0] * shape[1] // 32 * 18)
        for name, shape in shapes.items()
    )
    metadata = {
        "general.architecture": "llama", "llama.block_count": 32, "llama.context_length": 131072,
        "llama.attention.head_count": 32,
    }  # fmt: skip
    by_name = {info.name: info for info in tensors}
    return Header(Path("8b.gguf"), 3, metadata, tensors, 32, 0, 0, {}, by_name)


def _terms(header: Header, rank: int, tokens: int) -> dict[str, int]:
    return {term.name: term.bytes for term in memory_terms(header, rank, tokens)}


def _spec(**values: Any) -> Any:
    return parse({"model": "m", "data": "rows.jsonl", "name": "n", **values})


def test_smollm2_by_hand(smollm2: Path) -> None:
    header = read_header(smollm2)
    assert shape_of(header) == Shape(30, 576, 9, 576, 192, 1536, 49152)
    # A layer: q 576 + k 192 + v 192 + o 576 rows on 576 columns, gate, up 1536 on 576, down back.
    trained = 16 * 30 * (2 * (576 + 576) + 2 * (192 + 576) + 3 * (1536 + 576))
    assert trained == 4_884_480
    a_layer = 2 * 512 * (6 * 576 + 2 * 576 + 4 * 192 + 4 * 1536 + 7 * 16 + 9 * 512) + 4 * 512 * 9
    assert _terms(header, 16, 512) == {
        "weights": sum(info.n_bytes for info in header.tensors),
        "adapter and optimiser": 20 * trained,
        "activations": 30 * a_layer,
        "one layer's work": 2 * 512 * (5 * 576 + 2 * 192 + 5 * 1536) + 4 * 1536 * 576,
        "output layer": 2 * 49152 * 576 + 12 * 341 * 49152 + 2 * 512 * 576,
        "the program itself": PROGRAM_BYTES,
    }


def test_an_8b_by_hand() -> None:
    header = _llama_8b()
    terms = _terms(header, 16, 2048)
    # 6,979,321,856 weights in the layers, 2 x 525,336,576 outside, 18 bytes for 32 of them.
    assert terms["weights"] == (6_979_321_856 + 2 * 525_336_576) // 32 * 18
    assert terms["adapter and optimiser"] == 20 * 41_943_040
    assert terms["output layer"] == 2 * 128256 * 4096 + 12 * 130 * 128256 + 2 * 2048 * 4096
    a_token = 2 * (6 * 4096 + 2 * 4096 + 4 * 1024 + 4 * 14336 + 7 * 16 + 32 * 768) + 4 * 32
    assert terms["activations"] == 32 * 2048 * a_token
    assert terms["one layer's work"] == 2 * 2048 * (5 * 4096 + 2 * 1024 + 5 * 14336) + (
        4 * 14336 * 4096
    )


def test_more_rank_and_more_tokens_cost_more(smollm2: Path) -> None:
    header = read_header(smollm2)
    small, wide, long = (_terms(header, *of) for of in ((8, 256), (32, 256), (8, 1024)))
    assert wide["adapter and optimiser"] == 4 * small["adapter and optimiser"]
    assert long["activations"] > 4 * small["activations"]
    assert wide["weights"] == small["weights"] == long["weights"]


def test_the_plan_is_for_rows_as_long_as_the_limit(smollm2: Path) -> None:
    header = read_header(smollm2)
    asked = plan_for(header, _spec(max_tokens=1024))
    assert asked.total_bytes == sum(_terms(header, 16, 1024).values())
    assert asked.total_bytes == default_memory_bytes(header, 1024)
    assert plan_for(header, _spec(max_tokens=1024, rank=32)).total_bytes > asked.total_bytes


def test_rows_are_never_longer_than_the_models_context() -> None:
    header = _llama_8b()
    at_context = plan_for(header, _spec(max_tokens=131_072)).total_bytes
    assert plan_for(header, _spec(max_tokens=1_000_000)).total_bytes == at_context


def test_the_adapter_touches_the_blocks_linear_layers_alone(smollm2: Path) -> None:
    names = touched_names(read_header(smollm2))
    assert len(names) == 210
    assert "token_embd.weight" not in names
    assert not any("norm" in name for name in names)
