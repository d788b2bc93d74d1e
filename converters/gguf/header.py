"""The front of a GGUF: metadata and tensor table, validated before anything native sees the file.

Standard library only, so that a list of models needs no numpy. Arrays (vocabularies) are walked
but not decoded.
"""

import mmap
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from converters.errors import UserError
from converters.gguf.damage import GgufDamaged, damaged
from converters.gguf.header_parser import (
    ARCHITECTURE_KEY,
    COUNTS,
    DEFAULT_ALIGNMENT,
    HeaderParser,
)
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorInfo, TensorType, row_bytes
from converters.gguf.value_types import LENGTH, SCALARS, ArrayField, ValueType

__all__ = [
    "BLOCK_SHAPE", "DEFAULT_ALIGNMENT", "ArrayField", "GgufDamaged", "Header", "TensorInfo",
    "TensorType", "ValueType", "raw_field", "read_array", "read_header", "row_bytes",
]  # fmt: skip


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
    start = LENGTH.size + len(key.encode()) + 4 + 4 + LENGTH.size
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
            if path.stat().st_size < COUNTS.size:
                raise damaged(path, f"has fewer than {COUNTS.size} bytes")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(
            "The model file cannot be read.",
            f"{path}: {error.strerror or error}.",
            "Check that the file is there and that your account may read it.",
        ) from error
    with data:
        yield data


def _parse(path: Path, data: mmap.mmap) -> Header:
    parser = HeaderParser(path, data)
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


def _strings(raw: bytes, offset: int, count: int) -> Iterator[str]:
    for _ in range(count):
        (length,) = LENGTH.unpack_from(raw, offset)
        offset += 8 + length
        yield raw[offset - length : offset].decode(errors="surrogateescape")
