"""A page as a row of the library: its boxes compressed, its text with a check sum.

Boxes are kept to a tenth of a point (coarser on sheets beyond 3,200 points), 1.4 bytes a
character: as what they differ from the character before.
"""

import json
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.documents.page import Boxes, Page, without_places

COLUMNS = "number, text, check_sum, width, height, verdict, hidden, hidden_spans, table_rows, boxes"
_TENTHS, _LARGEST = 10.0, 32_000.0
_LEVEL = 1  # 0.3 ms a page; level 6 takes twice that for a seventh less


class PageDamaged(Exception):
    """A stored page is not what was written."""


def row_of(page: Page) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    # SQLite takes no lone surrogates, and counts characters only up to a zero.
    text = page.text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return (
        page.number, text, zlib.crc32(text.encode()), page.width, page.height, page.verdict,
        page.hidden, json.dumps(page.hidden_spans), json.dumps(page.table_rows),
        pack_boxes(page.boxes, page.width, page.height),
    )  # fmt: skip


def page_of(row: tuple[Any, ...]) -> Page:
    """The page of a row of COLUMNS. Raises PageDamaged."""
    number, text, check_sum, width, height, verdict, hidden, spans, rows, boxes = row
    check(text, check_sum)
    try:
        return Page(
            number, width, height, text, unpack_boxes(boxes, len(text), width, height), verdict,
            hidden, tuple((start, end) for start, end in json.loads(spans)),
            tuple(json.loads(rows)),
        )
    except (zlib.error, ValueError, TypeError) as error:
        raise PageDamaged(f"the places of page {number}") from error


def check(text: str, check_sum: int) -> None:
    """Raise PageDamaged if the text is not the one that was written."""
    if zlib.crc32(text.encode("utf-8", "replace")) != check_sum:
        raise PageDamaged("the text of a page")


def pack_boxes(boxes: Boxes, width: float, height: float) -> bytes:
    """(n, 4) boxes, NaN for no place, as bytes; none at all if nothing has a place."""
    is_placed = ~np.isnan(boxes[:, 0])
    if not is_placed.any():
        return b""
    scaled = np.rint(boxes[is_placed].astype(np.float64) * _scale(width, height))
    x0, y0, x1, y1 = scaled.clip(-_LARGEST, _LARGEST).astype(np.int16).T
    columns = np.empty((4, len(x0)), np.int16)  # differences wrap around, and back again
    columns[0] = x0
    columns[0, 1:] -= x1[:-1]
    columns[1] = x1 - x0
    columns[2] = np.diff(y0, prepend=np.int16(0))
    columns[3] = np.diff(y1 - y0, prepend=np.int16(0))
    halves = columns.astype("<i2").view(np.uint8).reshape(4, -1, 2).transpose(0, 2, 1)
    return zlib.compress(np.packbits(is_placed).tobytes() + halves.tobytes(), _LEVEL)


def unpack_boxes(data: bytes, length: int, width: float, height: float) -> Boxes:
    """The boxes of `length` characters. Raises zlib.error or ValueError for damaged bytes."""
    boxes = without_places(length)
    if not data:
        return boxes
    raw = np.frombuffer(zlib.decompress(data), np.uint8)
    mask_bytes = -(-length // 8)
    is_placed = np.unpackbits(raw[:mask_bytes], count=length).astype(bool)
    halves = raw[mask_bytes:].reshape(4, 2, -1).transpose(0, 2, 1)
    columns = np.ascontiguousarray(halves).view("<i2")[:, :, 0].astype(np.int16)
    x1 = np.cumsum(columns[0] + columns[1], dtype=np.int16)
    y0 = np.cumsum(columns[2], dtype=np.int16)
    y1 = y0 + np.cumsum(columns[3], dtype=np.int16)
    scaled: npt.NDArray[np.int16] = np.stack([x1 - columns[1], y0, x1, y1], axis=1)
    boxes[is_placed] = scaled / np.float32(_scale(width, height))
    return boxes


def _scale(width: float, height: float) -> float:
    """Units a point: tenths, fewer where 16 bits would not reach across the sheet."""
    return min(_TENTHS, _LARGEST / max(width, height, 1.0))
