"""The canonical GGUF writer: one pass front to back, SHA-256 on the way (layout of FACTS 1.1).

A file in this layout keeps its digest when Ollama 0.30 to 0.34.0 rewrites it on import.
"""

import hashlib
import struct
from collections.abc import Buffer, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from converters.durable_files import staged_file
from converters.errors import Stopped
from converters.events import ShouldStop
from converters.gguf.canonical_order import canonical_order
from converters.gguf.header import Header, raw_field
from converters.gguf.header_parser import ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC
from converters.gguf.mixes import guessed_file_type
from converters.gguf.tensor_types import TensorType, row_bytes
from converters.gguf.value_types import LENGTH, SCALARS, ValueType

__all__ = [
    "Field", "TensorPlan", "Written", "canonical_fields", "canonical_order", "encode_field",
    "planned_bytes", "write_gguf",
]  # fmt: skip

VERSION = 3
QUANTIZATION_VERSION_KEY = "general.quantization_version"
FILE_TYPE_KEY = "general.file_type"
QUANTIZATION_VERSION = 2
_LAST_KEYS = (QUANTIZATION_VERSION_KEY, FILE_TYPE_KEY)
_SLICE_BYTES = 4 << 20
"""Between two questions to `should_stop`: a few milliseconds of hashing and writing."""


@dataclass(frozen=True)
class Field:
    """One metadata field; `raw` is the encoded key, type and value."""

    key: str
    raw: bytes


@dataclass(frozen=True)
class TensorPlan:
    """A tensor to be written. `shape` in numpy order; `data` yields exactly its encoded bytes.

    `data` is called once, when everything before it has been written.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    data: Callable[[], Buffer]

    @property
    def n_bytes(self) -> int:
        """Bytes of the encoded tensor without padding. Raises ValueError for broken rows."""
        return prod(self.shape[:-1]) * row_bytes(self.type, self.shape[-1])


@dataclass(frozen=True)
class Written:
    """A finished file: its SHA-256 in hexadecimal and its size."""

    path: Path
    sha256: str
    n_bytes: int


def encode_field(
    key: str, value_type: ValueType, value: Any, element_type: ValueType | None = None
) -> Field:
    """Encode one metadata field. For ARRAY give the `element_type` of the sequence `value`.

    Texts may hold surrogate escapes (`read_array`), which become their bytes again. Raises
    struct.error for a number out of range.
    """
    raw = _text(key) + struct.pack("<I", value_type)
    if value_type is not ValueType.ARRAY:
        return Field(key, raw + _value(value_type, value))
    if element_type is None or element_type is ValueType.ARRAY:
        raise ValueError(f"the array {key} needs the type of its elements, which is no array")
    items = b"".join(_value(element_type, item) for item in value)
    return Field(key, raw + struct.pack("<IQ", element_type, len(value)) + items)


def canonical_fields(
    base: Header, *, replaced: Mapping[str, Field] | None = None, dropped: Collection[str] = ()
) -> list[Field]:
    """The base's fields, verbatim and in order, with some replaced, added or dropped.

    `general.alignment` and `split.*` go; `general.quantization_version` and `general.file_type`
    come last, as llama.cpp's COPY writes them (with its guess where the base has no file type).
    """
    given = dict(replaced or {})
    kept = [key for key in base.spans if _is_kept(key) and key not in dropped]
    added = [key for key in given if key not in base.spans and key not in _LAST_KEYS]
    fields = [given[key] if key in given else Field(key, raw_field(base, key))
              for key in kept + added]
    return fields + [given.get(key) or _last_field(base, key) for key in _LAST_KEYS]


def write_gguf(
    path: Path,
    fields: Sequence[Field],
    tensors: Sequence[TensorPlan],
    *,
    on_bytes: Callable[[int], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Written:
    """Write a GGUF with the tensors in canonical order; `path` appears when all of it is on disk.

    `on_bytes` is told the bytes written so far. Raises Stopped when `should_stop` says yes,
    ValueError for a name given twice or data of another size than planned; nothing remains then.
    """
    ordered = _ordered(fields, tensors)
    with staged_file(path) as file:
        stream = _HashedStream(file, on_bytes, should_stop)
        stream.write(_front(fields, ordered))
        stream.pad()
        for plan in ordered:
            _write_tensor(stream, plan)
    return Written(path, stream.digest(), stream.n_bytes)


def planned_bytes(fields: Sequence[Field], tensors: Sequence[TensorPlan]) -> int:
    """The size of the file that `write_gguf` would write, without writing it."""
    return _padded(len(_front(fields, tensors))) + sum(_padded(plan.n_bytes) for plan in tensors)


class _HashedStream:
    """A binary file that is hashed, counted and interrupted while it is written."""

    def __init__(
        self,
        file: BinaryIO,
        on_bytes: Callable[[int], None] | None,
        should_stop: ShouldStop | None,
    ) -> None:
        self.n_bytes = 0
        self._file = file
        self._sha256 = hashlib.sha256()
        self._on_bytes = on_bytes
        self._should_stop = should_stop

    def write(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _SLICE_BYTES):
            if self._should_stop and self._should_stop():
                raise Stopped
            piece = view[start : start + _SLICE_BYTES]
            self._sha256.update(piece)
            self._file.write(piece)
            self.n_bytes += len(piece)
            if self._on_bytes:
                self._on_bytes(self.n_bytes)

    def pad(self) -> None:
        self.write(bytes(_padded(self.n_bytes) - self.n_bytes))

    def digest(self) -> str:
        return self._sha256.hexdigest()


def _write_tensor(stream: _HashedStream, plan: TensorPlan) -> None:
    start = stream.n_bytes
    stream.write(plan.data())
    if stream.n_bytes - start != plan.n_bytes:
        message = f"{plan.name}: {stream.n_bytes - start} bytes instead of {plan.n_bytes}"
        raise ValueError(message)
    stream.pad()


def _ordered(fields: Sequence[Field], tensors: Sequence[TensorPlan]) -> list[TensorPlan]:
    for kind, names in (
        ("field", [field.key for field in fields]),
        ("tensor", [plan.name for plan in tensors]),
    ):
        if len(set(names)) != len(names):
            raise ValueError(f"a {kind} is given twice")
    by_name = {plan.name: plan for plan in tensors}
    return [by_name[name] for name in canonical_order(by_name)]


def _front(fields: Sequence[Field], tensors: Sequence[TensorPlan]) -> bytes:
    parts = [struct.pack("<4sIQQ", MAGIC, VERSION, len(tensors), len(fields))]
    parts += [field.raw for field in fields]
    offset = 0
    for plan in tensors:
        dimensions = plan.shape[::-1]
        parts.append(_text(plan.name))
        parts.append(struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
        parts.append(struct.pack("<IQ", plan.type, offset))
        offset += _padded(plan.n_bytes)
    return b"".join(parts)


def _is_kept(key: str) -> bool:
    return key != ALIGNMENT_KEY and not key.startswith("split.") and key not in _LAST_KEYS


def _last_field(base: Header, key: str) -> Field:
    if key == QUANTIZATION_VERSION_KEY:
        return encode_field(key, ValueType.UINT32, QUANTIZATION_VERSION)
    file_type = base.number(FILE_TYPE_KEY)
    known = guessed_file_type(base.tensors) if file_type is None else int(file_type)
    return encode_field(key, ValueType.UINT32, known)


def _value(value_type: ValueType, value: Any) -> bytes:
    return _text(value) if value_type is ValueType.STRING else SCALARS[value_type].pack(value)


def _text(text: str) -> bytes:
    raw = text.encode(errors="surrogateescape")
    return LENGTH.pack(len(raw)) + raw


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
