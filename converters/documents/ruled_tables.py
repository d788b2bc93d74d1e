"""Tables that are drawn with ruling lines, as rows of "header: value; header: value".

So a row keeps its meaning when it is found alone. Only grids with lines both ways; a table without
lines stays what it is, lines of text.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from converters.documents.flow import NEW_LINE, Flow
from converters.documents.grids import Grid, grids_of
from converters.documents.page import Boxes
from converters.documents.page_objects import PageObjects
from converters.documents.pdfium import PdfPage
from converters.documents.rules import rules_of
from converters.documents.table_cells import Cell, Row, joined
from converters.documents.table_sentences import described

_BESIDE = 0.6  # of the first cell's lines must have a partner to be rows of their own
_MANY_BANDS, _MANY_LINES = 4, 4  # with so many lines across, less text lines are one cell's
_CENTRED = 0.2  # of the distance from the middle of its own column
_HAS_DIGIT = re.compile(r"\d").search
_SPACE = 0.6  # of the height of the text: words that are closer belong together


@dataclass(frozen=True)
class _Word:
    """x0, x1, y (its middle) and height in points; row and column of its middle; line of text."""

    content: Row
    x0: float
    x1: float
    y: float
    height: float
    row: int
    column: int
    line: int


def table_rows(page: PdfPage, objects: PageObjects, flow: Flow, boxes: Boxes) -> tuple[Row, ...]:
    """The rows of every ruled table of a page, in the order of its tables from the top."""
    if not flow.text:
        return ()
    grids = grids_of(rules_of(page, objects))
    return tuple(row for grid in grids for row in described(_rows(grid, flow, boxes)))


def _rows(grid: Grid, flow: Flow, boxes: Boxes) -> list[list[Cell]]:
    """The cells of every row; one without lines inside it is split where its text lines up."""
    bands: defaultdict[int, list[_Word]] = defaultdict(list)
    for word in _words(grid, flow, boxes):
        bands[word.row].append(word)
    few = len(bands) < _MANY_BANDS
    return [
        _cells(grid, words)
        for number, at in enumerate(sorted(bands))
        for words in _split(bands[at], 2 if few and (number or len(bands) == 1) else _MANY_LINES)
    ]


def _cells(grid: Grid, words: Sequence[_Word]) -> list[Cell]:
    """The filled cells of a row from the left."""
    inside = {border for pair in pairwise(words) for border in _written_over(grid, *pair)}
    columns: defaultdict[int, list[_Word]] = defaultdict(list)
    for word in words:
        columns[_first(word.column, inside)].append(word)
    taken = {first: _last(first, inside) for first in sorted(columns)}
    return [
        Cell(joined([word.content for word in columns[first]]),
             *_centred(grid, columns[first], _free(grid, taken, first, columns[first][0].y)))
        for first in taken
    ]  # fmt: skip


def _free(grid: Grid, taken: dict[int, int], first: int, y: float) -> list[tuple[int, int]]:
    """The columns that a cell may span: its own, and empty ones beside that no line shuts off."""
    filled = {column for start, end in taken.items() for column in range(start, end + 1)}
    left, right = first, taken[first]
    while left > 0 and left - 1 not in filled and not grid.is_ruled(left, y):
        left -= 1
    while (
        right + 2 < len(grid.columns)
        and right + 1 not in filled
        and not grid.is_ruled(right + 1, y)
    ):
        right += 1
    if (left == 0 or grid.is_ruled(left, y)) and (
        right + 2 == len(grid.columns) or grid.is_ruled(right + 1, y)
    ):
        return [(left, right)]
    return [
        (start, end)
        for start in range(first, left - 1, -1)
        for end in range(taken[first], right + 1)
    ]


def _centred(
    grid: Grid, words: Sequence[_Word], spans: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """That of the spans in whose middle the words stand; the first if no other is much better."""
    middle = (min(word.x0 for word in words) + max(word.x1 for word in words)) / 2
    off = [
        abs(middle - float(grid.columns[start] + grid.columns[end + 1]) / 2) for start, end in spans
    ]
    best = min(range(len(spans)), key=off.__getitem__)
    return spans[best] if off[best] < _CENTRED * off[0] else spans[0]


def _written_over(grid: Grid, word: _Word, after: _Word) -> range:
    """The borders between two words that stand together, if none is drawn: of one cell's inside."""
    borders = range(word.column + 1, after.column + 1)
    together = word.line == after.line and after.x0 - word.x1 < _SPACE * word.height
    if together and not any(grid.is_ruled(border, word.y) for border in borders):
        return borders
    return range(0)


def _first(column: int, inside: set[int]) -> int:
    while column in inside:
        column -= 1
    return column


def _last(column: int, inside: set[int]) -> int:
    while column + 1 in inside:
        column += 1
    return column


def _words(grid: Grid, flow: Flow, boxes: Boxes) -> Iterator[_Word]:
    """Each word whose middle lies in the grid, in the order of the text."""
    places = boxes[flow.take]
    has_place = (flow.take >= 0) & np.isfinite(places[:, 0])
    at = np.flatnonzero(has_place)
    if not len(at):
        return
    number = np.cumsum(~has_place)[at]
    first = np.flatnonzero(np.concatenate([[True], np.diff(number) > 0]))
    last = np.concatenate([first[1:], [len(at)]]) - 1
    start, end = at[first], at[last]
    x0, x1 = places[start, 0], places[end, 2]
    top, bottom = places[start, 1], places[start, 3]
    y = (top + bottom) / 2
    columns = np.searchsorted(grid.columns, (x0 + x1) / 2) - 1
    rows = np.searchsorted(grid.lines, y) - 1
    is_in = (columns >= 0) & (columns < len(grid.columns) - 1)
    is_in &= (rows >= 0) & (rows < len(grid.lines) - 1)
    lines = np.cumsum(flow.take == NEW_LINE)[start]
    told = (start, end, x0, x1, y, bottom - top, rows, columns, lines)
    for begin, final, *rest in zip(*(values[is_in].tolist() for values in told), strict=True):
        text = flow.text[begin : final + 1]
        yield _Word(Row(text, ((0, begin, len(text)),)), *rest)


def _split(row: list[_Word], fewest: int) -> list[list[_Word]]:
    """One row, or one for each text line of its first cell if the other cells stand beside them.

    Less than `fewest` lines are of one name that is written in several, unless each has a figure.
    """
    cells: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for word in row:
        line = cells[word.column]
        line[word.line] = line.get(word.line, "") + word.content.text
    first, *others = (cells[column] for column in sorted(cells))
    if len(first) < 2 or not all(lines.keys() <= first.keys() for lines in others):
        return [row]
    if len(first) < fewest and not any(
        lines.keys() == first.keys() and all(map(_HAS_DIGIT, lines.values())) for lines in others
    ):
        return [row]
    if not any(len(lines) > _BESIDE * len(first) for lines in others):
        return [row]
    by_line = sorted(row, key=lambda word: word.line)
    return [list(words) for _, words in groupby(by_line, lambda word: word.line)]
