"""Walks the front of a GGUF byte by byte and refuses whatever does not hold. Standard library only.

Layout: the GGUF specification, docs/gguf.md in ggml-org/ggml.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

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
    damaged,
)
from converters.gguf.tensor_types import TensorInfo, TensorType, row_bytes
from converters.gguf.value_types import LENGTH, SCALARS, ArrayField, ValueType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"
ARCHITECTURE_KEY = "general.architecture"
COUNTS = struct.Struct("<4sIQQ")
"""Magic, version, tensors, metadata fields."""


@dataclass(frozen=True)
class TableRow:
    """A row of the tensor table as written, dimensions already in numpy order."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


class HeaderParser:
    """Walks the header from front to back; every step checks its limit before it moves on."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.offset = 0
        self._n_strings = 0

    def counts(self) -> tuple[int, int, int]:
        """Magic and counts -> (version, tensors, metadata fields)."""
        magic, version, n_tensors, n_fields = self._unpack(COUNTS)
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

    def tensor_rows(self, count: int) -> list[TableRow]:
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

    def placed(self, row: TableRow, data_start: int, alignment: int) -> TensorInfo:
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

    def _row(self, name: str) -> TableRow:
        (n_dimensions,) = self._unpack(SCALARS[ValueType.UINT32])
        if not 1 <= n_dimensions <= MAX_DIMENSIONS:
            raise damaged(self.path, f"has the tensor {name!r} with {n_dimensions} dimensions")
        dimensions = self._unpack(struct.Struct(f"<{n_dimensions}Q"))
        if not 0 < prod(dimensions) <= MAX_VALUES:
            raise damaged(self.path, f"has the tensor {name!r} with impossible dimensions")
        type_id, offset = self._unpack(struct.Struct("<IQ"))
        return TableRow(name, dimensions[::-1], type_id, offset)

    def _value(self) -> Any:
        value_type = self._value_type()
        if value_type is ValueType.STRING:
            return self._text(MAX_STRING_BYTES)
        if value_type is ValueType.ARRAY:
            return self._skip_array()
        return self._unpack(SCALARS[value_type])[0]

    def _skip_array(self) -> ArrayField:
        element_type = self._value_type()
        (length,) = self._unpack(LENGTH)
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
        data, offset, unpack = self.data, self.offset, LENGTH.unpack_from
        for _ in range(count):
            (length,) = unpack(data, offset)
            if length > MAX_STRING_BYTES:
                raise damaged(self.path, f"holds a text of {length} bytes")
            offset += 8 + length
        self.offset = offset
        self._advance(0)

    def _text(self, limit: int) -> str:
        (length,) = self._unpack(LENGTH)
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
