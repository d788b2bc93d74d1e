"""What the header reader gives, and that it needs nothing but the standard library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.gguf.header import (
    ArrayField,
    GgufDamaged,
    TensorType,
    ValueType,
    raw_field,
    read_array,
    read_header,
)
from converters.gguf.writer import encode_field
from tests.converters.gguf.files import (
    ARCHITECTURE,
    TOKENS,
    every_field,
    handmade,
    small_file,
    table_row,
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_file(tmp_path / "small.gguf").path


def test_every_value_type_comes_back_as_written(small: Path) -> None:
    metadata = read_header(small).metadata
    assert {key: metadata[key] for key in list(metadata)[:13]} == {
        "general.architecture": "llama",
        "x.u8": 255,
        "x.i8": -128,
        "x.u16": 65535,
        "x.i16": -32768,
        "x.u32": 2**32 - 1,
        "x.i32": -(2**31),
        "x.f32": 0.5,
        "x.yes": True,
        "x.text": "naïve 日本 \N{GRINNING FACE}",
        "x.u64": 2**64 - 1,
        "x.i64": -(2**63),
        "x.f64": 1e300,
    }
    assert metadata["x.yes"] is True


def test_arrays_are_placeholders_until_they_are_asked_for(small: Path) -> None:
    header = read_header(small)
    assert header.metadata["x.tokens"] == ArrayField(ValueType.STRING, len(TOKENS))
    assert read_array(header, "x.tokens") == TOKENS
    assert read_array(small, "x.scores") == [0.5, -1.0]
    assert read_array(small, "x.flags") == [True, False]
    assert read_array(small, "x.none") == []


def test_no_array_under_a_key_is_a_key_error(small: Path) -> None:
    with pytest.raises(KeyError, match=r"x\.u8"):
        read_array(small, "x.u8")
    with pytest.raises(KeyError, match="missing"):
        read_array(small, "missing")


def test_raw_fields_are_the_bytes_that_were_written(small: Path) -> None:
    header = read_header(small)
    assert [raw_field(header, field.key) for field in every_field()] == [
        field.raw for field in every_field()
    ]


def test_shapes_are_in_numpy_order_and_sizes_without_padding(small: Path) -> None:
    header = read_header(small)
    experts = header.tensor("blk.2.experts.weight")
    assert (experts.shape, experts.type, experts.n_bytes) == ((2, 3, 256), TensorType.Q6_K, 1260)
    assert (experts.n_rows, experts.row_length) == (6, 256)
    assert header.tensor("blk.2.attn_norm.weight").shape == (5,)
    with pytest.raises(KeyError, match="nothing"):
        header.tensor("nothing")


def test_numbers_and_texts_have_defaults(small: Path) -> None:
    header = read_header(small)
    assert header.number("x.u8") == 255
    assert header.number("x.text", 7) == 7
    assert header.number("x.yes") is None
    assert header.text("x.text").startswith("naïve")
    assert header.text("x.u8", "none") == "none"


def test_the_real_model(smollm2: Path) -> None:
    header = read_header(smollm2)
    assert header.architecture == "llama"
    assert (len(header.tensors), header.file_bytes) == (272, 98_362_432)
    assert header.number("llama.embedding_length") == 576
    types = [tensor.type for tensor in header.tensors]
    assert (types.count(TensorType.Q4_1), types.count(TensorType.Q8_0)) == (210, 1)
    tokens = read_array(header, "tokenizer.ggml.tokens")
    assert (len(tokens), tokens[1]) == (49_152, "<|im_start|>")


def test_the_alignment_of_the_file_decides_where_data_starts(tmp_path: Path) -> None:
    wide = encode_field("general.alignment", ValueType.UINT32, 256)
    rows = [table_row("a", (4,)), table_row("b", (4,), offset=256)]
    path = handmade(tmp_path / "wide.gguf", fields=[ARCHITECTURE.raw, wide.raw], tensors=rows)
    header = read_header(path)
    assert (header.alignment, header.data_start) == (256, 256)


def test_a_missing_file_is_named_and_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read.*gone\.gguf: No such file") as caught:
        read_header(tmp_path / "gone.gguf")
    assert not isinstance(caught.value, GgufDamaged)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(GgufDamaged, match="is no regular file"):
        read_header(tmp_path / "pipe.gguf")


def test_reading_a_header_imports_neither_numpy_nor_gguf(small: Path) -> None:
    script = (
        "import sys, json; from pathlib import Path\n"
        "from converters.gguf.header import read_header\n"
        "read_header(Path(sys.argv[1])); print(json.dumps(list(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(small)], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "gguf", "torch", "llama_cpp", "pydantic"} & set(json.loads(run.stdout))
