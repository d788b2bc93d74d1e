"""numpy = torch = ggml, bit for bit, for every type; and bytes survive split and join."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from converters.gguf.block_layouts import LAYOUTS, layout
from converters.gguf.header import TensorType
from converters.gguf.quantize import dequantize, quantize

ROWS, LENGTH = 12, 768
TYPES = [*LAYOUTS]
BLOCK_TYPES = [kind for kind in TYPES if layout(kind).values > 1]


def any_blocks(kind: TensorType) -> np.ndarray:
    """Blocks with every code and sub-scale, scales of both signs, zero and subnormal ones."""
    chance = np.random.default_rng(int(kind))
    spread = chance.standard_normal((ROWS, LENGTH)) * np.logspace(-6, 3, ROWS)[:, None]
    values = spread.astype(np.float32)
    values[3, :512] = 0
    blocks = quantize(values, kind)
    if layout(kind).values == 1:
        return blocks
    fields = layout(kind).split(chance.integers(0, 256, blocks.shape, np.uint8), np)
    return layout(kind).join(replace(fields, **_sane_scales(blocks, kind)), np)


def _sane_scales(blocks: np.ndarray, kind: TensorType) -> dict[str, np.ndarray]:
    fields = layout(kind).split(blocks, np)
    assert fields.scale is not None
    signs = np.where(np.arange(fields.scale.shape[1]) % 2, -1, 1).astype(np.float16)
    scales = {"scale": fields.scale * signs}
    return scales if fields.minimum is None else {**scales, "minimum": fields.minimum}


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_numpy_and_torch_dequantise_as_ggml_bit_for_bit(kind: TensorType) -> None:
    blocks = any_blocks(kind)
    ours = layout(kind).dequantize(blocks, np)
    torchs = layout(kind).dequantize(torch.from_numpy(blocks), torch)
    ggmls = dequantize(blocks, kind)
    assert ours.shape == ggmls.shape == (ROWS, LENGTH)
    assert ours.dtype == np.float32
    assert np.array_equal(ours.view(np.uint32), ggmls.view(np.uint32))
    assert np.array_equal(torchs.float().numpy().view(np.uint32), ggmls.view(np.uint32))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_split_and_join_give_the_same_bytes(kind: TensorType) -> None:
    blocks = any_blocks(kind)
    if layout(kind).values > 1:
        blocks[0] = np.random.default_rng(0).integers(0, 256, blocks.shape[1], np.uint8)
    in_torch = torch.from_numpy(blocks)
    assert np.array_equal(layout(kind).join(layout(kind).split(blocks, np), np), blocks)
    assert torch.equal(layout(kind).join(layout(kind).split(in_torch, torch), torch), in_torch)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_bfloat16_is_rounded_once_from_float32(kind: TensorType) -> None:
    blocks = torch.from_numpy(any_blocks(kind))
    values = layout(kind).dequantize(blocks, torch, torch.float32)
    rounded = layout(kind).dequantize(blocks, torch, torch.bfloat16)
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded, values.bfloat16())


@pytest.mark.parametrize("kind", BLOCK_TYPES, ids=lambda kind: kind.name)
def test_dequantising_leaves_the_blocks_alone(kind: TensorType) -> None:
    blocks = torch.from_numpy(any_blocks(kind))
    before = blocks.clone()
    layout(kind).dequantize(blocks, torch).zero_()
    layout(kind).split(blocks, torch).codes.clone()
    assert torch.equal(blocks, before)


@pytest.mark.parametrize("kind", BLOCK_TYPES, ids=lambda kind: kind.name)
def test_large_tensors_are_worked_in_pieces_with_the_same_result(kind: TensorType) -> None:
    blocks = np.tile(any_blocks(kind), (300, 1))
    first = layout(kind).dequantize(blocks[:ROWS], np)
    assert np.array_equal(layout(kind).dequantize(blocks, np), np.tile(first, (300, 1)))
    torchs = layout(kind).dequantize(torch.from_numpy(blocks), torch, torch.bfloat16)
    assert torch.equal(torchs[-ROWS:], torch.from_numpy(first).bfloat16())


def test_the_parts_of_a_q4_1_block_by_hand() -> None:
    scale, minimum = np.float16(0.5), np.float16(-2)
    nibbles = bytes(range(0x10, 0x20))
    block = np.frombuffer(scale.tobytes() + minimum.tobytes() + nibbles, np.uint8)[None]
    fields = layout(TensorType.Q4_1).split(block, np)
    assert fields.codes.tolist() == [[[*range(16)] + [1] * 16]]
    assert np.asarray(fields.scale).tolist() == [[0.5]]
    assert np.asarray(fields.minimum).tolist() == [[-2.0]]
    assert layout(TensorType.Q4_1).dequantize(block, np)[0, :4].tolist() == [-2, -1.5, -1, -0.5]


def test_codes_are_signed_where_the_type_has_an_offset() -> None:
    ranges = {
        kind.name: (int(codes.min()), int(codes.max()))
        for kind in BLOCK_TYPES
        for codes in [layout(kind).split(any_blocks(kind), np).codes]
    }
    assert ranges == {
        "Q4_0": (-8, 7), "Q4_1": (0, 15), "Q5_0": (-16, 15), "Q5_1": (0, 31),
        "Q8_0": (-128, 127), "Q6_K": (-32, 31),
    }  # fmt: skip


def test_q6_k_keeps_its_sub_scales_apart_from_the_scale() -> None:
    fields = layout(TensorType.Q6_K).split(any_blocks(TensorType.Q6_K), np)
    parts = [np.asarray(part) for part in (fields.codes, fields.scale, fields.sub_scales)]
    assert [part.shape for part in parts] == [(ROWS, 3, 256), (ROWS, 3), (ROWS, 3, 16)]
    assert [part.dtype for part in parts] == [np.int8, np.float16, np.int8]


def test_a_type_without_a_layout_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        layout(TensorType.Q4_K)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_cuda_gives_the_same_bits(kind: TensorType) -> None:
    blocks = torch.from_numpy(any_blocks(kind))
    there = layout(kind).dequantize(blocks.cuda(), torch).float().cpu()
    assert torch.equal(there, layout(kind).dequantize(blocks, torch).float())
