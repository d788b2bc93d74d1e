"""The frames between the application and a child of it: a small JSON head, then raw bytes.

Arrays travel as their bytes (4.7 MB a scored row of SmolLM2), never as text.
"""

import json
import struct
from collections.abc import Buffer
from io import RawIOBase
from typing import Any

import numpy as np

_SIZES = struct.Struct("<IQ")  # bytes of the head, bytes of the payload
_LARGEST_HEAD = 64 * 2**20
_LARGEST_PAYLOAD = 16 * 2**30

Frame = tuple[dict[str, Any], bytearray]


class FrameBroken(Exception):
    """The other end sent something that is no frame, or stopped in the middle of one."""


def write_frame(stream: RawIOBase, head: dict[str, Any], payload: Buffer = b"") -> None:
    """Send one frame. Raises BrokenPipeError when nobody reads."""
    text = json.dumps(head, ensure_ascii=True).encode()
    body = memoryview(payload).cast("B")
    _write_all(stream, memoryview(_SIZES.pack(len(text), len(body)) + text))
    _write_all(stream, body)


def read_frame(stream: RawIOBase, largest: int = _LARGEST_PAYLOAD) -> Frame | None:
    """The next frame, None at the end of the stream. Raises FrameBroken; largest: of payloads."""
    sizes = _read_exactly(stream, _SIZES.size, at_start=True)
    if sizes is None:
        return None
    head_bytes, payload_bytes = _SIZES.unpack(sizes)
    if head_bytes > _LARGEST_HEAD or payload_bytes > largest:
        raise FrameBroken(f"a frame of {head_bytes} + {payload_bytes} bytes")
    head = _read_exactly(stream, head_bytes)
    payload = _read_exactly(stream, payload_bytes)
    assert head is not None
    assert payload is not None
    return json.loads(head), payload


def array_frame(head: dict[str, Any], array: np.ndarray) -> tuple[dict[str, Any], Buffer]:
    """Head and payload that carry `array`."""
    described = {**head, "shape": list(array.shape), "dtype": array.dtype.str}
    return described, memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def array_of(head: dict[str, Any], payload: bytearray) -> np.ndarray:
    """The array of an `array_frame`, sharing the memory of `payload`."""
    return np.frombuffer(payload, np.dtype(head["dtype"])).reshape(head["shape"])


def _write_all(stream: RawIOBase, data: memoryview) -> None:
    while len(data):
        written = stream.write(data)
        data = data[written or 0 :]


def _read_exactly(stream: RawIOBase, size: int, *, at_start: bool = False) -> bytearray | None:
    data = bytearray(size)
    view = memoryview(data)
    filled = 0
    while filled < size:
        count = stream.readinto(view[filled:])
        if not count:
            if at_start and filled == 0:
                return None
            raise FrameBroken(f"the stream ended after {filled} of {size} bytes")
        filled += count
    return data
