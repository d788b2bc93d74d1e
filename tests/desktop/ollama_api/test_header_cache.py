from pathlib import Path

import pytest

from converters.gguf.header import GgufDamaged, read_array, read_header
from desktop.ollama_api.header_cache import cached_header

DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_a_remembered_header_equals_the_read_one(smollm2: Path, tmp_path: Path):
    fresh = read_header(smollm2)
    assert cached_header(smollm2, DIGEST, tmp_path) == fresh
    remembered = cached_header(smollm2, DIGEST, tmp_path)
    assert remembered == fresh
    assert remembered.tensor("token_embd.weight") == fresh.tensor("token_embd.weight")
    assert read_array(remembered, "tokenizer.ggml.tokens")[:2] == ["<|endoftext|>", "<|im_start|>"]


def test_the_second_time_the_model_file_is_not_read(smollm2: Path, tmp_path: Path):
    cached_header(smollm2, DIGEST, tmp_path)
    same_size = tmp_path / "hole.gguf"
    with same_size.open("wb") as file:
        file.truncate(smollm2.stat().st_size)
    assert cached_header(same_size, DIGEST, tmp_path).path == same_size


def test_a_file_that_was_cut_since_is_not_taken_from_memory(smollm2: Path, tmp_path: Path):
    cached_header(smollm2, DIGEST, tmp_path)
    cut = tmp_path / "cut.gguf"
    with smollm2.open("rb") as file:
        cut.write_bytes(file.read(1 << 20))
    with pytest.raises(GgufDamaged):
        cached_header(cut, DIGEST, tmp_path)


def test_a_damaged_or_foreign_entry_is_read_anew(smollm2: Path, tmp_path: Path):
    fresh = read_header(smollm2)
    entry = tmp_path / f"{DIGEST}.json"
    for text in ("", "{", "[]", '{"format": 0}', '{"format": 1, "tensors": 3}'):
        entry.write_text(text)
        assert cached_header(smollm2, DIGEST, tmp_path) == fresh
