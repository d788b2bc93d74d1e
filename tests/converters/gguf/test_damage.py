"""Damaged and hostile files: always GgufDamaged or a header within its limits, never else."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.gguf.damage import MAX_ARRAY_ITEMS, MAX_ARRAY_STRINGS, MAX_STRING_BYTES
from converters.gguf.header import ArrayField, GgufDamaged, ValueType, read_array, read_header
from converters.gguf.reader import GgufFile
from converters.gguf.writer import encode_field
from tests.converters.gguf.files import ARCHITECTURE, handmade, small_file, table_row, text

# Every example writes the files anew, so one folder may serve them all.
_SHARED = [HealthCheck.function_scoped_fixture]
_U32 = struct.Struct("<I").pack


def _array(key: str, element_type: int, length: int, items: bytes = b"") -> bytes:
    kind = _U32(ValueType.ARRAY) + _U32(element_type) + struct.pack("<Q", length)
    return text(key.encode()) + kind + items


def _aligned(value: int) -> bytes:
    return encode_field("general.alignment", ValueType.UINT32, value).raw


def _quietly(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=_SHARED)


_ARCH = ARCHITECTURE.raw
_HUGE = 1 << 63
_CASES = {
    "no magic": ({"magic": b"GGML"}, "does not begin with the letters GGUF"),
    "old version": ({"version": 1}, "GGUF version 1"),
    "big-endian": ({"version": 3 << 24}, "GGUF version 50331648"),
    "many fields": ({"n_fields": _HUGE}, "announces 9223372036854775808 fields"),
    "many tensors": ({"n_tensors": 1 << 40}, "1099511627776 tensors"),
    "more fields than there are": ({"n_fields": 500}, "has the key '' twice"),
    "no architecture": ({"fields": []}, r"does not name its general\.architecture"),
    "architecture is a number": (
        {"fields": [encode_field("general.architecture", ValueType.UINT32, 1).raw]},
        r"does not name its general\.architecture",
    ),
    "long text": (
        {"fields": [_ARCH, text(b"k", length=MAX_STRING_BYTES + 1)]}, "text of 16777217 bytes"
    ),
    "text beyond the end": ({"fields": [_ARCH, text(b"k", length=9999)]}, "ends in the middle"),
    "text beyond 64 bits": ({"fields": [text(b"k", length=2**64 - 1)]}, "18446744073709551615"),
    "key that is no UTF-8": ({"fields": [_ARCH, text(b"\xff") + _U32(0) + b"1"]}, "no UTF-8"),
    "unknown value type": ({"fields": [_ARCH, text(b"k") + _U32(13)]}, "unknown type 13"),
    "array of arrays": ({"fields": [_ARCH, _array("k", 9, 1)]}, "array of 1 ARRAY items"),
    "long array": (
        {"fields": [_ARCH, _array("k", 0, MAX_ARRAY_ITEMS + 1)]}, "array of 67108865 UINT8"
    ),
    "array beyond the end": ({"fields": [_ARCH, _array("k", 12, 5000)]}, "ends in the middle"),
    "many texts": (
        {"fields": [_ARCH, _array("k", 8, MAX_ARRAY_STRINGS + 1)]}, "more than 8388608 texts"
    ),
    "long text in an array": (
        {"fields": [_ARCH, _array("k", 8, 1, text(b"", length=1 << 40))]},
        "text of 1099511627776 bytes",
    ),
    "text in an array beyond the end": (
        {"fields": [_ARCH, _array("k", 8, 1, text(b"", length=9999))]}, "ends in the middle"
    ),
    "key twice": ({"fields": [_ARCH, _ARCH]}, r"has the key 'general\.architecture' twice"),
    "alignment zero": ({"fields": [_ARCH, _aligned(0)]}, "no small power of two: 0"),
    "alignment odd": ({"fields": [_ARCH, _aligned(48)]}, "no small power of two: 48"),
    "alignment huge": ({"fields": [_ARCH, _aligned(1 << 31)]}, "no small power of two"),
    "tensor twice": ({"tensors": [table_row("a", (4,)), table_row("a", (4,), offset=32)]}, "twice"),
    "long tensor name": ({"tensors": [table_row("a" * 64, (4,))]}, "text of 64 bytes"),
    "no dimensions": ({"tensors": [table_row("a", ())]}, "with 0 dimensions"),
    "five dimensions": ({"tensors": [table_row("a", (1,) * 5)]}, "with 5 dimensions"),
    "empty dimension": ({"tensors": [table_row("a", (4, 0))]}, "impossible dimensions"),
    "product overflows": ({"tensors": [table_row("a", (1 << 33,) * 2)]}, "impossible dimensions"),
    "removed type": ({"tensors": [table_row("a", (32,), 4)]}, "4 is not a valid TensorType"),
    "rows no multiple": (
        {"tensors": [table_row("a", (48, 2), 3)]}, "rows of 48 do not divide into Q4_1 blocks of 32"
    ),
    "not aligned": ({"tensors": [table_row("a", (4,), offset=16)]}, "not aligned"),
    "beyond the end": ({"tensors": [table_row("a", (1025,))]}, "ends before the data .* 'a'"),
    "offset overflows": ({"tensors": [table_row("a", (4,), offset=2**64 - 32)]}, "ends before"),
    "overlap": (
        {"tensors": [table_row("a", (16,)), table_row("b", (16,), offset=32)]}, "inside another"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _CASES)
def test_each_contradiction_is_named(case: str, tmp_path: Path) -> None:
    parts, words = _CASES[case]
    path = handmade(tmp_path / "bad.gguf", **parts)
    with pytest.raises(GgufDamaged, match=words) as caught:
        read_header(path)
    assert caught.value.title == "The model file is damaged or no GGUF."
    assert "bad.gguf" in caught.value.detail
    assert caught.value.hint == "Pull or copy the model again."


def test_the_largest_allowed_values_are_read(tmp_path: Path) -> None:
    path = handmade(
        tmp_path / "large.gguf", tensors=[table_row("a" * 63, (1024,))], fields=[_ARCH, _aligned(1)]
    )
    assert read_header(path).tensor("a" * 63).n_bytes == 4096


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    written = small_file(tmp_path / "small.gguf")
    whole = written.path.read_bytes()
    end_of_data = max(
        read_header(written.path).data_start + tensor.offset + tensor.n_bytes
        for tensor in read_header(written.path).tensors
    )
    path = tmp_path / "cut.gguf"
    for length in range(end_of_data):
        path.write_bytes(whole[:length])
        with pytest.raises(GgufDamaged):
            read_header(path)


def test_flipped_bits_of_a_header_end_well(tmp_path: Path) -> None:
    whole = small_file(tmp_path / "small.gguf").path.read_bytes()
    header_bits = read_header(tmp_path / "small.gguf").data_start * 8
    path, refused = tmp_path / "flipped.gguf", 0
    for bit in range(0, header_bits, 3):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        refused += not _is_consistent(path)
    assert 0.3 < refused / (header_bits / 3) < 0.8


def test_500_mutations_of_the_real_header_end_well(smollm2: Path, tmp_path: Path) -> None:
    start = read_header(smollm2).data_start
    front = smollm2.read_bytes()[:start]
    chance, path = random.Random(5), tmp_path / "mutated.gguf"
    for _ in range(500):
        mutated = bytearray(front)
        for _ in range(chance.randint(1, 8)):
            # The vocabulary is most of the bytes: half of the hits go to what surrounds it.
            near = chance.choice([chance.randrange(1200), start - 1 - chance.randrange(25_000)])
            mutated[chance.choice([near, chance.randrange(start)])] = chance.randrange(256)
        with path.open("wb") as file:
            file.write(mutated)
            file.truncate(98_362_432)
        _is_consistent(path)


@_quietly(300)
@given(pieces=st.lists(st.tuples(st.integers(0, 2500), st.binary(max_size=24)), max_size=6))
def test_spliced_bytes_end_well(pieces: list[tuple[int, bytes]], tmp_path: Path) -> None:
    source = tmp_path / "small.gguf"
    if not source.exists():
        small_file(source)
    whole = bytearray(source.read_bytes())
    for position, piece in pieces:
        whole[position : position + len(piece) // 2] = piece
    path = tmp_path / "spliced.gguf"
    path.write_bytes(whole)
    _is_consistent(path)


@_quietly(200)
@given(tail=st.binary(max_size=400))
def test_random_bytes_after_the_magic_end_well(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + tail)
    _is_consistent(path)


def _is_consistent(path: Path) -> bool:
    """Whether the file was accepted; then everything that its header promises must be there."""
    try:
        header = read_header(path)
    except GgufDamaged:
        return False
    for key, value in header.metadata.items():
        if isinstance(value, ArrayField):
            assert len(read_array(header, key)) == value.length
    with GgufFile(path) as file:
        for tensor in header.tensors:
            assert len(file.tensor_bytes(tensor.name)) == tensor.n_bytes
            assert file.blocks(tensor.name).shape[0] == tensor.n_rows
    return True
