"""One page of any document: its text in reading order, where each character stands, its quality.

Knows no file format. Numbers of pages count from 1; lengths are points from the top left corner of
the page as it is shown (crop box and rotation applied).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from converters.errors import UserError

Verdict = Literal["text", "scan", "garbled", "empty"]
Boxes = npt.NDArray[np.float32]
Span = tuple[int, int]
Place = tuple[int, int, int]
"""A word twice: its first character in a table row, that in the page's text, its length."""


@dataclass(frozen=True)
class Page:
    """A page as every reader of documents yields it.

    text: in reading order, each line ends in a line feed. boxes: (len(text), 4) float32, x0, y0,
    x1, y1; NaN where a character has no place (line feeds, spaces between words, text files).
    verdict: "text"; "scan" (pictures, no text); "garbled" (characters that are no words: broken
    encodings); "empty". hidden: characters that a reader does not see (never drawn, below 2 points,
    outside of the page, in the background's colour); they are marked by hidden_spans, not deleted.
    table_rows: the rows of ruled tables as "header: value; header: value". row_places: of each
    row, where the words of its own cells (not the headers) stand in the text.
    """

    number: int
    width: float
    height: float
    text: str
    boxes: Boxes
    verdict: Verdict
    hidden: int = 0
    hidden_spans: tuple[Span, ...] = ()
    table_rows: tuple[str, ...] = ()
    row_places: tuple[tuple[Place, ...], ...] = ()


@dataclass
class DocumentRefused(UserError):
    """A document that cannot be read, with the kind of outcome that this is."""

    kind: Literal["encrypted", "damaged", "too expensive"] = "damaged"


def without_places(length: int) -> Boxes:
    """The boxes of `length` characters that have no place on a page."""
    return np.full((length, 4), np.nan, np.float32)
