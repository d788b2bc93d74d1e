"""The front of a GGUF: metadata and tensor table, validated before anything native sees the file.

Standard library only, so that a list of models needs no numpy. Arrays (vocabularies) are walked
but not decoded. Layout: the GGUF specification, docs/gguf.md in ggml-org/ggml.
"""

import mmap
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from pathlib import Path
from typing import Any, overload

from converters.errors import UserError
from converters.gguf.damage import (
    MAX_ALIGNMENT,
    MAX_ARRAY_ITEMS,
    MAX_ARRAY_STRINGS,
    MAX_DIMENSIONS,
    MAX_FIELDS,
    MAX_NAME_BYTES,
    MAX_STRING_BYTES,
    MAX_TENSORS,
    MAX_VALUES,
    GgufDamaged,
    damaged,
)
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorType, row_bytes

__all__ = [
    "BLOCK_SHAPE", "ArrayField", "GgufDamaged", "Header", "TensorInfo", "TensorType", "ValueType",
    "raw_field", "read_array", "read_header", "row_bytes",
]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"
ARCHITECTURE_KEY = "general.architecture"
_LENGTH = struct.Struct("<Q")
_COUNTS = struct.Struct("<4sIQQ")


class ValueType(IntEnum):
    """The type of a metadata value, by its id in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS: dict[ValueType, struct.Struct] = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: struct.Struct("<I"),
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<?"),
    ValueType.UINT64: struct.Struct("<Q"),
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}
"""The encoding of every value type but STRING and ARRAY."""


@dataclass(frozen=True)
class ArrayField:
    """Stands in the metadata for an array, which `read_array` decodes when somebody needs it."""

    element_type: ValueType
    length: int


@dataclass(frozen=True)
class TensorInfo:
    """One row of the tensor table. `shape` is in numpy order, (rows, row_length) for a matrix.

    `offset` counts bytes from the header's `data_start`; `n_bytes` excludes the padding.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    n_bytes: int

    @property
    def row_length(self) -> int:
        """Values of one row: the dimension that blocks divide."""
        return self.shape[-1]

    @property
    def n_rows(self) -> int:
        """Rows of the tensor seen as a matrix (1 for a vector)."""
        return prod(self.shape[:-1])


@dataclass(frozen=True)
class Header:
    """A validated front of a GGUF file. Sizes and offsets in bytes.

    `metadata` maps a key to its value (text, number, truth value) or to an `ArrayField`; `spans`
    maps it to (start, stop) of its encoded key, type and value in the file.
    """

    path: Path
    version: int
    metadata: Mapping[str, Any]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_start: int
    file_bytes: int
    spans: Mapping[str, tuple[int, int]]
    _by_name: Mapping[str, TensorInfo] = field(repr=False, compare=False)

    @property
    def architecture(self) -> str:
        """`general.architecture`, for example `llama`; every valid file has it."""
        return self.metadata[ARCHITECTURE_KEY]

    def tensor(self, name: str) -> TensorInfo:
        """The tensor's row of the table. Raises KeyError if the file has none of this name."""
        return self._by_name[name]

    @overload
    def number(self, key: str) -> int | float | None: ...
    @overload
    def number[Default](self, key: str, default: Default) -> int | float | Default: ...
    def number(self, key: str, default: Any = None) -> Any:
        """The number under `key`, or `default` if the key is missing or holds no number."""
        value = self.metadata.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number else default

    def text(self, key: str, default: str = "") -> str:
        """The text under `key`, or `default` if the key is missing or holds no text."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else default


def read_header(path: Path) -> Header:
    """Parse and validate the front of the GGUF at `path`; tensor data is not read.

    Raises GgufDamaged for everything that is wrong with the content (magic, version, limits,
    unknown types, duplicates, tensors outside the file or overlapping), UserError if the file
    cannot be opened.
    """
    with _mapped(path) as data:
        return _parse(path, data)


def read_array(source: Path | Header, key: str) -> list[Any]:
    """Decode the array under `key`. Bytes that are no UTF-8 become surrogate escapes.

    Raises KeyError if the file has no such array, else as `read_header`.
    """
    header = source if isinstance(source, Header) else read_header(source)
    entry = header.metadata[key]
    if not isinstance(entry, ArrayField):
        raise KeyError(key)
    raw = raw_field(header, key)
    start = _LENGTH.size + len(key.encode()) + 4 + 4 + _LENGTH.size
    if entry.element_type is ValueType.STRING:
        return list(_strings(raw, start, entry.length))
    code = SCALARS[entry.element_type].format[1:]
    return list(struct.unpack_from(f"<{entry.length}{code}", raw, start))


def raw_field(source: Path | Header, key: str) -> bytes:
    """The encoded key, type and value of `key`, for copying verbatim. Raises KeyError."""
    header = source if isinstance(source, Header) else read_header(source)
    start, stop = header.spans[key]
    with header.path.open("rb") as file:
        file.seek(start)
        raw = file.read(stop - start)
    if len(raw) != stop - start:
        raise damaged(header.path, "became shorter while it was read")
    return raw


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        # Opening a pipe or a device could block for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise damaged(path, "is no regular file")
        with path.open("rb") as file:
            if path.stat().st_size < _COUNTS.size:
                raise damaged(path, f"has fewer than {_COUNTS.size} bytes")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(
            "The model file cannot be read.",
            f"{path.name}: {error.strerror or error}.",
            "Check that the file is there and that your account may read it.",
        ) from error
    with data:
        yield data


def _parse(path: Path, data: mmap.mmap) -> Header:
    parser = _Parser(path, data)
    try:
        version, n_tensors, n_fields = parser.counts()
        metadata, spans = parser.fields(n_fields)
        alignment = parser.alignment(metadata)
        rows = parser.tensor_rows(n_tensors)
    except struct.error as error:
        raise damaged(path, "ends in the middle of its header") from error
    except UnicodeDecodeError as error:
        raise damaged(path, "holds a name or text that is no UTF-8") from error
    data_start = -(-parser.offset // alignment) * alignment
    tensors = tuple(parser.placed(row, data_start, alignment) for row in rows)
    parser.check_overlap(tensors)
    by_name = {tensor.name: tensor for tensor in tensors}
    return Header(
        path, version, metadata, tensors, alignment, data_start, len(data), spans, by_name
    )


@dataclass(frozen=True)
class _Row:
    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


class _Parser:
    """Walks the header from front to back; every step checks its limit before it moves on."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.offset = 0
        self._n_strings = 0

    def counts(self) -> tuple[int, int, int]:
        """Magic and counts -> (version, tensors, metadata fields)."""
        magic, version, n_tensors, n_fields = self._unpack(_COUNTS)
        if magic != MAGIC:
            raise damaged(self.path, "does not begin with the letters GGUF")
        if version not in VERSIONS:
            raise damaged(self.path, f"has the GGUF version {version}; versions 2 and 3 are known")
        if n_fields > MAX_FIELDS or n_tensors > MAX_TENSORS:
            raise damaged(self.path, f"announces {n_fields} fields and {n_tensors} tensors")
        return version, n_tensors, n_fields

    def fields(self, count: int) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
        """The metadata, and where each field stands in the file."""
        metadata: dict[str, Any] = {}
        spans: dict[str, tuple[int, int]] = {}
        for _ in range(count):
            start = self.offset
            key = self._text(MAX_STRING_BYTES)
            if key in metadata:
                raise damaged(self.path, f"has the key {key[:80]!r} twice")
            metadata[key] = self._value()
            spans[key] = (start, self.offset)
        if not isinstance(metadata.get(ARCHITECTURE_KEY), str):
            raise damaged(self.path, f"does not name its {ARCHITECTURE_KEY}")
        return metadata, spans

    def alignment(self, metadata: Mapping[str, Any]) -> int:
        """The alignment of tensor data, a power of two."""
        value = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
        is_power = isinstance(value, int) and 0 < value <= MAX_ALIGNMENT and not value & (value - 1)
        if isinstance(value, bool) or not is_power:
            raise damaged(self.path, f"has an alignment that is no small power of two: {value!r}")
        return value

    def tensor_rows(self, count: int) -> list[_Row]:
        """The tensor table as written."""
        names: set[str] = set()
        rows = []
        for _ in range(count):
            name = self._text(MAX_NAME_BYTES)
            if name in names:
                raise damaged(self.path, f"has the tensor {name!r} twice")
            names.add(name)
            rows.append(self._row(name))
        return rows

    def placed(self, row: _Row, data_start: int, alignment: int) -> TensorInfo:
        """The row with its type and size, checked against the file's end."""
        try:
            tensor_type = TensorType(row.type_id)
            n_bytes = prod(row.shape[:-1]) * row_bytes(tensor_type, row.shape[-1])
        except ValueError as error:
            raise damaged(self.path, f"has an impossible tensor {row.name!r}: {error}") from error
        if row.offset % alignment:
            raise damaged(self.path, f"has the tensor {row.name!r} at a place that is not aligned")
        if data_start + row.offset + n_bytes > len(self.data):
            raise damaged(self.path, f"ends before the data of the tensor {row.name!r}")
        return TensorInfo(row.name, row.shape, tensor_type, row.offset, n_bytes)

    def check_overlap(self, tensors: tuple[TensorInfo, ...]) -> None:
        """No byte may belong to two tensors."""
        end = 0
        for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
            if tensor.offset < end:
                raise damaged(self.path, f"has the tensor {tensor.name!r} inside another one")
            end = tensor.offset + tensor.n_bytes

    def _row(self, name: str) -> _Row:
        (n_dimensions,) = self._unpack(SCALARS[ValueType.UINT32])
        if not 1 <= n_dimensions <= MAX_DIMENSIONS:
            raise damaged(self.path, f"has the tensor {name!r} with {n_dimensions} dimensions")
        dimensions = self._unpack(struct.Struct(f"<{n_dimensions}Q"))
        if not 0 < prod(dimensions) <= MAX_VALUES:
            raise damaged(self.path, f"has the tensor {name!r} with impossible dimensions")
        type_id, offset = self._unpack(struct.Struct("<IQ"))
        return _Row(name, dimensions[::-1], type_id, offset)

    def _value(self) -> Any:
        value_type = self._value_type()
        if value_type is ValueType.STRING:
            return self._text(MAX_STRING_BYTES)
        if value_type is ValueType.ARRAY:
            return self._skip_array()
        return self._unpack(SCALARS[value_type])[0]

    def _skip_array(self) -> ArrayField:
        element_type = self._value_type()
        (length,) = self._unpack(_LENGTH)
        if element_type is ValueType.ARRAY or length > MAX_ARRAY_ITEMS:
            raise damaged(self.path, f"has an array of {length} {element_type.name} items")
        if element_type is ValueType.STRING:
            self._skip_strings(length)
        else:
            self._advance(length * SCALARS[element_type].size)
        return ArrayField(element_type, length)

    def _skip_strings(self, count: int) -> None:
        self._n_strings += count
        if self._n_strings > MAX_ARRAY_STRINGS:
            raise damaged(self.path, f"holds more than {MAX_ARRAY_STRINGS} texts in arrays")
        # The hot loop of the parser (300,000 turns for a large vocabulary): locals only.
        data, offset, unpack = self.data, self.offset, _LENGTH.unpack_from
        for _ in range(count):
            (length,) = unpack(data, offset)
            if length > MAX_STRING_BYTES:
                raise damaged(self.path, f"holds a text of {length} bytes")
            offset += 8 + length
        self.offset = offset
        self._advance(0)

    def _text(self, limit: int) -> str:
        (length,) = self._unpack(_LENGTH)
        if length > limit:
            raise damaged(self.path, f"holds a name or text of {length} bytes")
        start = self.offset
        self._advance(length)
        return self.data[start : self.offset].decode()

    def _value_type(self) -> ValueType:
        (type_id,) = self._unpack(SCALARS[ValueType.UINT32])
        if type_id not in ValueType:
            raise damaged(self.path, f"has a field of the unknown type {type_id}")
        return ValueType(type_id)

    def _unpack(self, encoding: struct.Struct) -> tuple[Any, ...]:
        values = encoding.unpack_from(self.data, self.offset)
        self.offset += encoding.size
        return values

    def _advance(self, n_bytes: int) -> None:
        self.offset += n_bytes
        if self.offset > len(self.data):
            raise damaged(self.path, "ends in the middle of its header")


def _strings(raw: bytes, offset: int, count: int) -> Iterator[str]:
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(raw, offset)
        offset += 8 + length
        yield raw[offset - length : offset].decode(errors="surrogateescape")
