"""Pages as frames between the parser child and its parent: a small head, the text, the boxes."""

from typing import Any

import numpy as np

from converters.documents.page import Boxes, Page, without_places

Head = dict[str, Any]


def page_frame(page: Page) -> tuple[Head, bytes]:
    """Head and payload that carry `page`. Boxes that are nowhere do not travel."""
    text = page.text.encode("utf-8", "surrogatepass")
    has_places = bool(np.isfinite(page.boxes).any())
    head: Head = {
        "kind": "page",
        "number": page.number,
        "size": [page.width, page.height],
        "verdict": page.verdict,
        "hidden": page.hidden,
        "spans": page.hidden_spans,
        "rows": page.table_rows,
        "row_places": page.row_places,
        "text_bytes": len(text),
    }
    return head, text + page.boxes.tobytes() if has_places else text


def page_of(head: Head, payload: bytearray) -> Page:
    """The page of a `page_frame`. Raises ValueError or KeyError for what is none."""
    size = head["text_bytes"]
    text = payload[:size].decode("utf-8", "surrogatepass")
    return Page(
        number=head["number"],
        width=head["size"][0],
        height=head["size"][1],
        text=text,
        boxes=_boxes(payload, size, len(text)),
        verdict=head["verdict"],
        hidden=head["hidden"],
        hidden_spans=tuple((start, end) for start, end in head["spans"]),
        table_rows=tuple(head["rows"]),
        row_places=tuple(
            tuple((at, start, length) for at, start, length in row) for row in head["row_places"]
        ),
    )


def _boxes(payload: bytearray, start: int, length: int) -> Boxes:
    if len(payload) == start:
        return without_places(length)
    return np.frombuffer(bytes(payload[start:]), np.float32).reshape(length, 4)
