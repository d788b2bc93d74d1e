"""The memory plan, term by term, against numbers worked out by hand and counted on real tensors."""

import sys
from pathlib import Path
from typing import Any

import pytest

from converters.gguf.header import Header, TensorInfo, TensorType, read_header
from finetune.data.segments import TokenRow
from finetune.plan import (
    PROGRAM_BYTES,
    Compute,
    MemoryCase,
    MicroBatch,
    default_memory_bytes,
    memory_terms,
    plan_for,
    plan_of,
    touched_names,
)
from finetune.plan_activations import saved_bytes
from finetune.plan_shape import shape_of
from finetune.spec import parse
from tests.benchmarks import bench_plan

LAYER_8B = {
    "attn_q": (4096, 4096), "attn_k": (1024, 4096), "attn_v": (1024, 4096),
    "attn_output": (4096, 4096), "ffn_gate": (14336, 4096), "ffn_up": (14336, 4096),
    "ffn_down": (4096, 14336),
}  # fmt: skip
FLOAT32 = Compute("cpu", 4)


def _llama_8b() -> Header:
    """The table of Llama-3.1-8B in Q4_0, embedding and head too (no file behind it)."""
    shapes = {"token_embd.weight": (128256, 4096), "output.weight": (128256, 4096)}
    for layer in range(32):
        shapes |= {f"blk.{layer}.{part}.weight": shape for part, shape in LAYER_8B.items()}
    return bench_plan.header_of(shapes, layers=32, heads=32, context=131072)


def _terms(header: Header, case: MemoryCase) -> dict[str, int]:
    return {term.name: term.bytes for term in memory_terms(header, case)}


def _case(tokens: int, rank: int = 16, **values: Any) -> MemoryCase:
    return MemoryCase(MicroBatch((tokens,), tokens), rank, **values)


def _spec(**values: Any) -> Any:
    return parse({"model": "m", "data": "rows.jsonl", "name": "n", **values})


def _rows(*lengths: int) -> list[TokenRow]:
    return [
        TokenRow((1,) * length, (False,) * (length - 4) + (True,) * 4, str(at), at)
        for at, length in enumerate(lengths)
    ]


def test_smollm2_by_hand(smollm2: Path) -> None:
    header = read_header(smollm2)
    shape = shape_of(header)
    assert (shape.layers, shape.width, shape.heads, shape.q, shape.kv) == (30, 576, 9, 576, 192)
    assert (shape.ff, shape.vocabulary, shape.is_tied) == (1536, 49152, True)
    # A layer: q 576 + k 192 + v 192 + o 576 rows on 576 columns, gate, up 1536 on 576, down back.
    trained = 16 * 30 * (2 * (576 + 576) + 2 * (192 + 576) + 3 * (1536 + 576))
    assert trained == 4_884_480
    a_layer = 512 * (2 * (2 * 576 + 2 * 576 + 2 * 192 + 4 * 1536 + 7 * 16) + 8 * 577) + (
        2 * 9 * 512 * 512
    )
    terms = _terms(header, _case(512))
    embedding = header.tensor("token_embd.weight").n_bytes
    layers = sum(t.n_bytes for t in header.tensors if len(t.shape) == 2) - embedding
    assert terms == {
        "the base's layers in blocks": layers,
        "embedding, output layer and norms": embedding + 2 * 61 * 576,
        "the adapter's weights": 4 * trained,
        "their gradients": 4 * trained,
        "the optimiser's two moments": 8 * trained,
        "a copy of the adapter to fall back to": 4 * trained,
        "the adapter in 16 bit for the products": 2 * trained,
        "activations kept for the backward pass": 30 * a_layer,
        "one layer's work": 2 * 512 * (5 * 576 + 2 * 192 + 5 * 1536),
        "one layer's weights, unpacked": 2 * 1536 * 576,
        "the output layer, unpacked": 2 * 49152 * 576,
        "the output layer's answers": 8 * 341 * 49152 + 4 * 512 * 576,
        "gaps between freed pieces": int(0.3 * 30 * a_layer),
        "what the first step sets up": 30_000_000,
        "the program itself": PROGRAM_BYTES,
    }


@pytest.mark.parametrize(
    ("lengths", "compute", "counted"),
    [
        # Counted with torch's saved-tensor hooks on SmolLM2, the frozen weights left out.
        ((128, 128), Compute(), 26_092),
        ((1024,), Compute(), 24_019),
        ((512,), FLOAT32, 42_751),
        ((128, 128), FLOAT32, 42_755),
    ],
)
def test_what_a_layer_keeps_is_what_was_counted(
    smollm2: Path, lengths: tuple[int, ...], compute: Compute, counted: int
) -> None:
    shape, batch = shape_of(read_header(smollm2)), MicroBatch(lengths, 20)
    planned = saved_bytes(shape, 16, batch, compute) / batch.tokens
    if compute.value_bytes == 2:  # the hooks see the adapter's 16-bit copies too
        planned += 2 * shape.trained_weights(16) / 30 / batch.tokens
    assert planned == pytest.approx(counted, rel=0.002)


def test_an_8b_by_hand() -> None:
    header = _llama_8b()
    terms = _terms(header, _case(2048, compute=Compute("cuda", 2)))
    assert terms["the base's layers in blocks"] == 6_979_321_856 // 32 * 18
    assert terms["embedding, output layer and norms"] == 2 * 525_336_576 // 32 * 18
    assert terms["the adapter's weights"] == 4 * 41_943_040
    # 3 x q (query, answer, its product's input), the keys and values once, no scores on a card.
    a_token = 2 * (2 * 4096 + 3 * 4096 + 2 * 1024 + 4 * 14336 + 7 * 16) + 8 * 4097 + 4 * 32
    assert terms["activations kept for the backward pass"] == 32 * 2048 * a_token
    # A card unpacks a whole tensor by way of float32.
    assert terms["the output layer, unpacked"] == 6 * 525_336_576
    assert terms["CUDA and its workspace"] == 500_000_000 + (32 << 20)
    assert "the program itself" not in terms


def test_dense_forms_hold_every_weight_in_the_type_that_is_computed_in(smollm2: Path) -> None:
    header = read_header(smollm2)
    half = _terms(header, _case(64, form="16bit"))
    whole = _terms(header, _case(64, form="16bit", compute=FLOAT32))
    assert half["the base's layers in 16 bit"] == 2 * 106_168_320
    assert whole["the base's layers in float32"] == 4 * 106_168_320
    assert "the output layer, unpacked" not in half
    spec = _spec(base="f32", max_tokens=64)
    assert plan_for(header, spec).case.compute == FLOAT32


def test_recomputing_keeps_a_layer_and_every_layers_input(smollm2: Path) -> None:
    header = read_header(smollm2)
    name = "activations kept for the backward pass"
    kept = _terms(header, _case(1024))[name]
    again = _terms(header, _case(1024, recompute=True))[name]
    assert again == kept // 30 + 30 * 2 * 1024 * 576


def test_a_small_step_takes_no_less_than_measuring_does(smollm2: Path) -> None:
    header = read_header(smollm2)
    assert "measuring held-out rows beyond that" in _terms(header, _case(16))
    assert "measuring held-out rows beyond that" not in _terms(header, _case(512))


def test_a_checkpoint_takes_what_the_freed_output_layer_does_not_hold(smollm2: Path) -> None:
    header = read_header(smollm2)
    name = "a checkpoint on its way to the disk"
    terms = _terms(header, _case(512, rank=64))
    freed = terms["the output layer, unpacked"] + terms["the output layer's answers"]
    assert terms[name] == 24 * 4 * 4_884_480 - freed
    assert name not in _terms(header, _case(512))
    assert name not in _terms(header, _case(512, rank=64, compute=Compute("cuda", 2)))


def test_more_rank_tokens_and_dropout_cost_more(smollm2: Path) -> None:
    header = read_header(smollm2)
    plain = plan_of(header, _case(512)).total_bytes
    for dearer in (_case(512, rank=32), _case(1024), _case(512, dropout=0.1)):
        assert plan_of(header, dearer).total_bytes > plain


def test_without_rows_the_plan_is_for_rows_as_long_as_the_limit(smollm2: Path) -> None:
    header = read_header(smollm2)
    plan = plan_for(header, _spec(max_tokens=600))
    assert plan.case.batch == MicroBatch((600, 600, 600), 1800)
    alone = plan_for(header, _spec(max_tokens=600, tokens_per_step=64))
    assert alone.case.batch == MicroBatch((600,), 600)
    assert plan_for(_llama_8b(), _spec(max_tokens=1_000_000)).case.batch.lengths == (131_072,)
    assert default_memory_bytes(header, 1024) == plan_of(header, _case(1024)).total_bytes


def test_with_rows_the_plan_is_for_the_costliest_pack(smollm2: Path) -> None:
    header = read_header(smollm2)
    # 600 of these tokens fit 512 only in two packs; the row of 400 keeps most scores.
    rows = _rows(400, *[50] * 4)
    plan = plan_for(header, _spec(tokens_per_step=512), rows=rows)
    assert plan.case.batch == MicroBatch((400, 50, 50), 12)
    assert plan.total_bytes < plan_for(header, _spec(tokens_per_step=512)).total_bytes


def test_the_adapter_touches_the_blocks_linear_layers_alone(smollm2: Path) -> None:
    names = touched_names(read_header(smollm2))
    assert len(names) == 210
    assert "token_embd.weight" not in names
    assert not any("norm" in name for name in names)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resets the peak in /proc")
def test_the_plan_is_within_a_fifth_of_the_measured_peak(smollm2: Path) -> None:
    shape = bench_plan.Shape("blocks", 64, 8, 256)
    figures = bench_plan.measured(smollm2, shape, steps=4)
    planned = bench_plan.planned(smollm2, shape, int(figures["value_bytes"]))
    assert planned / figures["above"] == pytest.approx(1, abs=0.2)


def test_published_peaks_are_planned_with_their_method_named() -> None:
    for peak in bench_plan.PUBLISHED:
        assert peak.planned > 0
        assert peak.difference.endswith(".")


def test_a_header_made_by_hand_counts_blocks() -> None:
    header = bench_plan.header_of({"token_embd.weight": (64, 32)}, layers=1, heads=1, context=8)
    assert header.tensor("token_embd.weight") == TensorInfo(
        "token_embd.weight", (64, 32), TensorType.Q4_0, 0, 64 * 18
    )
