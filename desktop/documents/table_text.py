"""Rows of ruled tables as text below their page's own, so that a search finds them like any line.

Each word of a row stands where it is printed: a passage of rows has the places of its cells. A form
feed keeps the two apart; a chunk never reaches over it.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from converters.documents.page import Page, without_places
from desktop.documents.chunker import BELOW
from desktop.documents.words import stems

_NAMED = ": "


def with_rows(page: Page) -> Page:
    """The page with its rows at the end of its text; itself if it has none that names a column."""
    rows = [(text, places) for text, places in zip(page.table_rows, page.row_places, strict=False)
            if _NAMED in text]  # fmt: skip
    if not rows or page.verdict != "text":
        return page
    own = page.text.replace(BELOW, " ").rstrip("\n") + f"\n{BELOW}"
    text = own + "".join(f"{row}\n" for row, _ in rows)
    boxes = without_places(len(text))
    boxes[: min(len(own) - 2, len(page.boxes))] = page.boxes[: len(own) - 2]
    hidden = np.zeros(len(page.text), bool)
    for start, end in page.hidden_spans:
        hidden[start:end] = True
    spans, at_row = list(page.hidden_spans), len(own)
    for row, places in rows:
        for at, start, length in places:
            here = at_row + at
            boxes[here : here + length] = page.boxes[start : start + length]
            if hidden[start : start + length].any():
                spans.append((here, here + length))
        at_row += len(row) + 1
    return replace(page, text=text, boxes=boxes, hidden_spans=tuple(spans))


def own_text(text: str) -> str:
    """What is printed on a page, without the rows below."""
    return text.partition(BELOW)[0]


def is_of_rows(text: str, start: int) -> bool:
    """Whether a passage that begins there is one of table rows."""
    return text.rfind(BELOW, 0, start) >= 0


def best_rows(text: str, span: tuple[int, int], terms: Collection[str]) -> tuple[int, int]:
    """The rows of a span of rows that hold most of these stems: from the first to the last of them
    that stand together."""
    start, end = span
    rows: list[tuple[int, int, int]] = []
    for line in text[start:end].split("\n"):
        rows.append((len(set(stems(line)) & set(terms)), start, start + len(line)))
        start += len(line) + 1
    most = max(held for held, _, _ in rows)
    first = next(at for at, row in enumerate(rows) if row[0] == most)
    last = first
    while last + 1 < len(rows) and rows[last + 1][0] == most:
        last += 1
    return rows[first][1], rows[last][2]
