"""The canonical writer: order, padding, digest, fixed point, and what a failure leaves."""

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from gguf import GGUFReader

from converters.errors import Stopped
from converters.gguf.header import Header, TensorType, ValueType, raw_field, read_header
from converters.gguf.reader import GgufFile
from converters.gguf.writer import (
    TensorPlan,
    Written,
    canonical_fields,
    canonical_order,
    encode_field,
    planned_bytes,
    write_gguf,
)
from tests.converters.gguf.files import (
    ARCHITECTURE,
    every_field,
    every_tensor,
    handmade,
    small_file,
    table_row,
)

_LAST = ["general.quantization_version", "general.file_type"]


def _rewritten(source: Path, output: Path) -> Written:
    with GgufFile(source) as file:
        plans = [
            TensorPlan(info.name, info.shape, info.type, lambda n=info.name: file.tensor_bytes(n))
            for info in file.header.tensors
        ]
        return write_gguf(output, canonical_fields(file.header), plans)


def test_tensors_stand_by_layer_number_and_then_by_bytes() -> None:
    names = ["blk.10.a", "blk.9.z", "output.weight", "token_embd.weight", "blk.9.A", "blk.9.é"]
    assert canonical_order(names) == [
        "output.weight", "token_embd.weight", "blk.9.A", "blk.9.z", "blk.9.é", "blk.10.a",
    ]  # fmt: skip


def test_data_follows_the_table_each_tensor_padded_to_32_bytes(tmp_path: Path) -> None:
    written = small_file(tmp_path / "small.gguf")
    header = read_header(written.path)
    assert [tensor.name for tensor in header.tensors] == [
        "output.weight", "token_embd.weight", "blk.2.attn_norm.weight", "blk.2.experts.weight",
        "blk.2.ffn_up.weight", "blk.10.ffn_up.weight",
    ]  # fmt: skip
    assert [tensor.offset for tensor in header.tensors] == [0, 96, 864, 896, 2176, 2336]
    assert header.file_bytes == header.data_start + 2336 + 128


def test_digest_and_size_are_those_of_the_file_and_known_before(tmp_path: Path) -> None:
    counted: list[int] = []
    path = tmp_path / "small.gguf"
    written = write_gguf(path, every_field(), every_tensor(), on_bytes=counted.append)
    content = path.read_bytes()
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert written.n_bytes == len(content) == counted[-1]
    assert planned_bytes(every_field(), every_tensor()) == len(content)
    assert counted == sorted(counted)


def test_golden_file(tmp_path: Path) -> None:
    plan = TensorPlan("a", (2, 2), TensorType.F32, lambda: struct.pack("<4f", 1, 2, 3, 4))
    written = write_gguf(tmp_path / "golden.gguf", every_field(), [plan])
    assert written.sha256 == "68b2f5f544046ca2551155f805780948342e681b6d03b995454253a8c01b8bc1"


def test_gguf_reads_what_we_write(tmp_path: Path) -> None:
    reader = GGUFReader(small_file(tmp_path / "small.gguf").path)
    keys = [key for key in reader.fields if not key.startswith("GGUF.")]
    assert keys == [field.key for field in every_field()]
    assert reader.fields["x.text"].contents() == "naïve 日本 \N{GRINNING FACE}"
    assert reader.fields["x.i64"].contents() == -(2**63)
    read = {tensor.name: tensor for tensor in reader.tensors}
    for plan in every_tensor():
        assert tuple(read[plan.name].shape.tolist())[::-1] == plan.shape
        assert read[plan.name].data.tobytes() == bytes(memoryview(plan.data()).cast("B"))


def test_a_rewritten_file_is_a_fixed_point(tmp_path: Path, smollm2: Path) -> None:
    first = _rewritten(smollm2, tmp_path / "first.gguf")
    second = _rewritten(first.path, tmp_path / "second.gguf")
    assert first.sha256 == second.sha256
    header = read_header(first.path)
    assert list(header.spans)[-2:] == _LAST
    assert header.tensors[0].name == "output_norm.weight"
    with GgufFile(smollm2) as before, GgufFile(first.path) as after:
        for tensor in before.header.tensors:
            assert before.tensor_bytes(tensor.name) == after.tensor_bytes(tensor.name)


def _header(tmp_path: Path, fields: Sequence[bytes]) -> Header:
    rows = [table_row("a", (32,), TensorType.Q4_1), table_row("b", (32,), 3, offset=32)]
    return read_header(handmade(tmp_path / "base.gguf", fields=list(fields), tensors=rows))


def test_canonical_fields_keep_the_order_and_move_two_to_the_end(tmp_path: Path) -> None:
    base = _header(tmp_path, [field.raw for field in reversed(every_field())])
    keys = [field.key for field in canonical_fields(base)]
    assert keys == [field.key for field in reversed(every_field()[:-2])] + _LAST
    assert {field.key: field.raw for field in canonical_fields(base)} == {
        field.key: field.raw for field in every_field()
    }


def test_alignment_and_split_keys_go_and_missing_last_keys_come(tmp_path: Path) -> None:
    gone = [
        encode_field("general.alignment", ValueType.UINT32, 32),
        encode_field("split.count", ValueType.UINT16, 1),
    ]
    base = _header(tmp_path, [ARCHITECTURE.raw, *(field.raw for field in gone)])
    fields = canonical_fields(base)
    assert [field.key for field in fields] == ["general.architecture", *_LAST]
    # llama.cpp guesses Q4_1 (3) from the tensors and adds 1024 for "guessed".
    assert fields[-1].raw == encode_field(_LAST[1], ValueType.UINT32, 1024 + 3).raw
    assert fields[-2].raw == encode_field(_LAST[0], ValueType.UINT32, 2).raw


def test_fields_are_replaced_in_place_added_before_the_last_and_dropped(tmp_path: Path) -> None:
    base = _header(tmp_path, [field.raw for field in every_field()])
    other = encode_field("x.u8", ValueType.STRING, "now a text")
    added = encode_field("y.new", ValueType.BOOL, False)
    file_type = encode_field(_LAST[1], ValueType.UINT32, 7)
    replaced = {field.key: field for field in (other, added, file_type)}
    fields = canonical_fields(base, replaced=replaced, dropped={"x.tokens"})
    assert [field.key for field in fields] == [
        *(field.key for field in every_field()[:-2] if field.key != "x.tokens"), "y.new", *_LAST,
    ]  # fmt: skip
    assert fields[1] == other
    assert fields[-1] == file_type


def test_copied_fields_are_the_same_bytes_even_for_large_arrays(smollm2: Path) -> None:
    header = read_header(smollm2)
    fields = {field.key: field.raw for field in canonical_fields(header)}
    for key in ("tokenizer.ggml.merges", "tokenizer.chat_template", "general.file_type"):
        assert fields[key] == raw_field(header, key)


def test_a_stop_leaves_the_earlier_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"earlier")
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 5

    with pytest.raises(Stopped):
        write_gguf(path, every_field(), every_tensor(), should_stop=should_stop)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_data_of_another_size_than_planned_is_refused(tmp_path: Path) -> None:
    plan = TensorPlan("a", (2, 32), TensorType.Q8_0, lambda: bytes(67))
    with pytest.raises(ValueError, match="a: 67 bytes instead of 68"):
        write_gguf(tmp_path / "short.gguf", [ARCHITECTURE], [plan])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["field", "tensor"])
def test_a_name_given_twice_is_refused(kind: str, tmp_path: Path) -> None:
    fields = [ARCHITECTURE] * (2 if kind == "field" else 1)
    tensors = every_tensor()[:1] * (2 if kind == "tensor" else 1)
    with pytest.raises(ValueError, match=f"a {kind} is given twice"):
        write_gguf(tmp_path / "twice.gguf", fields, tensors)


def test_numbers_out_of_range_and_arrays_without_a_type_are_refused() -> None:
    with pytest.raises(struct.error):
        encode_field("k", ValueType.UINT8, 256)
    with pytest.raises(ValueError, match="the array k needs the type of its elements"):
        encode_field("k", ValueType.ARRAY, [1])
