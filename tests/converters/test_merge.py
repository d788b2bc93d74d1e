"""Lazy merging: pieces are the whole, and llama.cpp agrees with it through the GGUF adapter."""

from pathlib import Path

import numpy as np
import pytest

from converters.adapter import LowRank, read_adapter, write_gguf_adapter
from converters.expand import expand_to_f32
from converters.gguf.header import TensorType
from converters.gguf.reader import GgufFile
from converters.llama.scorer import Scorer
from converters.merge import PIECE_VALUES, delta, merged, pieces, row_pieces
from tests.converters.merged_f32 import write_merged_f32
from tests.converters.peft_folders import (
    linear_tensors,
    random_folder,
    random_tensors,
    write_folder,
)
from tests.converters.small_models import cut_model, made_model

IDS = [1, 4093, 198, 1780, 253, 2501, 28, 665, 1123, 355, 11, 2134, 91, 7, 30000, 512]


@pytest.mark.parametrize(("rows", "length"), [(1, 8), (5000, 512), (3, 2_000_000), (2048, 512)])
def test_pieces_cover_every_row_once(rows: int, length: int) -> None:
    slices = list(row_pieces(rows, length))
    assert [row for part in slices for row in range(rows)[part]] == list(range(rows))
    assert all((part.stop - part.start) * length <= max(PIECE_VALUES, length) for part in slices)


def test_delta_is_the_scaled_product() -> None:
    chance = np.random.default_rng(0)
    a = chance.standard_normal((4, 512)).astype(np.float32)
    b = chance.standard_normal((3000, 4)).astype(np.float32)
    assert np.allclose(delta(LowRank(a, b, 0.5)), 0.5 * b @ a, atol=1e-5)


def test_merged_is_base_plus_delta_and_the_pieces_are_its_rows(tmp_path: Path) -> None:
    base = made_model(tmp_path / "base.gguf", TensorType.Q4_K)
    name = "blk.0.attn_q.weight"
    adapter = write_folder(tmp_path / "adapter", random_tensors(base, [name]))
    with GgufFile(base) as file:
        pair = read_adapter(adapter, file.header)
        whole = merged(file, pair, name)
        assert np.array_equal(whole, file.values(name) + delta(pair.tensors[name]))
        other = "blk.0.attn_v.weight"
        assert np.array_equal(merged(file, pair, other), file.values(other))
        for part in pieces(file.blocks(name), TensorType.Q4_K, pair.tensors[name]):
            assert np.array_equal(part.wanted, whole[part.rows])


def test_llama_cpp_gives_the_merged_models_answer_from_base_and_adapter(
    smollm2: Path, tmp_path: Path
) -> None:
    """KL(merged F32, F32 base + our GGUF adapter) on two real layers: both compute the same."""
    base = cut_model(smollm2, tmp_path / "base.gguf")
    folder = random_folder(
        tmp_path / "adapter", base, linear_tensors(base), change=0.05
    )
    expanded = expand_to_f32(base, tmp_path / "base_f32.gguf").path
    with GgufFile(base) as file:
        adapter = read_adapter(folder, file.header)
        lora = write_gguf_adapter(tmp_path / "lora.gguf", adapter, file.header).path
        both = write_merged_f32(file, adapter, tmp_path / "merged.gguf")
    with Scorer(both, n_ctx=256) as scorer:
        expected = scorer.log_probs(IDS, 1)
    with Scorer(expanded, lora, n_ctx=256) as scorer:
        found = scorer.log_probs(IDS, 1)
    with Scorer(expanded, n_ctx=256) as scorer:
        untuned = scorer.log_probs(IDS, 1)
    assert _kl(expected, found) < 1e-8
    assert _kl(expected, untuned) > 1e-4


def _kl(first: np.ndarray, second: np.ndarray) -> float:
    return float((np.exp(first) * (first - second)).sum(1).mean())
