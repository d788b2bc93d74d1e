"""GGUF headers remembered by digest, so that a list of many models reads no vocabulary twice.

A digest names its content, so an entry is never stale; a damaged entry is read anew.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from converters.durable_files import write_json
from converters.gguf.header import (
    ArrayField,
    Header,
    TensorInfo,
    TensorType,
    ValueType,
    read_header,
)

FORMAT = 1


def cached_header(path: Path, digest: str, folder: Path) -> Header:
    """The validated header of the GGUF at `path`, whose SHA-256 is `digest` (64 hex digits).

    Reads `folder/<digest>.json` if it is there and fits the file's size, else the GGUF, and then
    writes the entry. Raises as `read_header`.
    """
    entry = folder / f"{digest}.json"
    remembered = _load(entry)
    if remembered is not None and remembered.file_bytes == path.stat().st_size:
        return replace(remembered, path=path)
    header = read_header(path)
    write_json(entry, _as_json(header))
    return header


def _load(entry: Path) -> Header | None:
    try:
        value = json.loads(entry.read_bytes())
        return _from_json(value) if value["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        # A cache may be lost at any time; the file itself is the truth.
        return None


def _as_json(header: Header) -> dict[str, Any]:
    metadata = {
        key: {"array": [int(value.element_type), value.length]}
        if isinstance(value, ArrayField)
        else value
        for key, value in header.metadata.items()
    }
    return {
        "format": FORMAT,
        "version": header.version,
        "metadata": metadata,
        "tensors": [asdict(tensor) for tensor in header.tensors],
        "alignment": header.alignment,
        "data_start": header.data_start,
        "file_bytes": header.file_bytes,
        "spans": header.spans,
    }


def _from_json(value: dict[str, Any]) -> Header:
    tensors = tuple(_tensor(entry) for entry in value["tensors"])
    return Header(
        path=Path(),
        version=value["version"],
        metadata={key: _metadata(item) for key, item in value["metadata"].items()},
        tensors=tensors,
        alignment=value["alignment"],
        data_start=value["data_start"],
        file_bytes=value["file_bytes"],
        spans={key: (start, stop) for key, (start, stop) in value["spans"].items()},
        _by_name={tensor.name: tensor for tensor in tensors},
    )


def _metadata(item: Any) -> Any:
    if isinstance(item, dict):
        element_type, length = item["array"]
        return ArrayField(ValueType(element_type), length)
    return item


def _tensor(entry: dict[str, Any]) -> TensorInfo:
    return TensorInfo(
        entry["name"], tuple(entry["shape"]), TensorType(entry["type"]), entry["offset"],
        entry["n_bytes"],
    )  # fmt: skip
