"""Tables that are drawn with ruling lines, as rows of "header: value; header: value".

So a row keeps its meaning when it is found alone. Only grids with lines both ways; a table without
lines stays what it is, lines of text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.documents.flow import NEW_LINE, Flow
from converters.documents.page import Boxes, Place
from converters.documents.page_objects import PageObjects
from converters.documents.pdfium import PdfPage
from converters.documents.rules import Lines, Rules, rules_of

_SAME_LINE = 3.0  # points between lines that count as one
_MOST_RULES = 1_500
_FEWEST_LINES = 3
_BESIDE = 0.6  # of the first cell's lines must have a partner to be rows of their own

Edges = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """A cell or a whole row. places: see `Page.row_places`, counted in this text."""

    text: str = ""
    places: tuple[Place, ...] = ()


Cells = list[list[Row]]


def table_rows(page: PdfPage, objects: PageObjects, flow: Flow, boxes: Boxes) -> tuple[Row, ...]:
    """The rows of every ruled table of a page, in the order of its tables from the top."""
    rules = rules_of(page, objects)
    if len(rules.across) < _FEWEST_LINES or len(rules.down) < 2 or not flow.text:
        return ()
    if len(rules.across) + len(rules.down) > _MOST_RULES:
        return ()
    rows: list[Row] = []
    for columns, lines in _grids(rules):
        rows += described(_cells(columns, lines, flow, boxes))
    return tuple(rows)


def described(cells: Cells) -> list[Row]:
    """Rows of cells as sentences: the first row names the columns unless it holds figures."""
    cells = [row for row in cells if any(cell.text for cell in row)]
    if len(cells) < 2:
        return []
    header, body = [cell.text for cell in cells[0]], cells[1:]
    if not names_columns(header):
        header, body = [""] * len(header), cells
    return [_placed_sentence(header, row) for row in body]


_AMOUNT = re.compile(r"\d,\d{3}\b|\d\.\d|[$€£%]\s?\d|\d\s?%")


def names_columns(row: list[str]) -> bool:
    """Whether a first row is a header: two names at least that are no figures, and no amount.

    A wrong name is worse than none: rows below data would be told in the words of data.
    """
    if any(_AMOUNT.search(name) for name in row):
        return False
    return sum(bool(name) and not _is_figure(name) for name in row) >= 2


def sentence(header: list[str], row: list[str]) -> str:
    """One row in words, its empty cells left out."""
    pairs = zip(header, row, strict=True)
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)


def _placed_sentence(header: list[str], row: list[Row]) -> Row:
    """The same that knows where its cells stand."""
    told, places = "", list[Place]()
    for name, cell in zip(header, row, strict=True):
        if not cell.text:
            continue
        told += ("; " if told else "") + (f"{name}: " if name else "")
        places += _moved(cell.places, len(told))
        told += cell.text
    return Row(told, tuple(places))


def _together(words: Sequence[Row]) -> Row:
    """Words or lines of one cell with spaces between."""
    told, places = "", list[Place]()
    for word in words:
        told += " " if told else ""
        places += _moved(word.places, len(told))
        told += word.text
    return Row(told, tuple(places))


def _moved(places: Sequence[Place], by: int) -> Iterator[Place]:
    return ((at + by, start, length) for at, start, length in places)


def _is_figure(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    # A year names a column as well as a word does
    return 2 * digits > len(text) and not re.fullmatch(r"(FY)?\s?(19|20)\d\d[*)]?", text)


def _grids(rules: Rules) -> list[tuple[Edges, Edges]]:
    """The x of the column borders and the y of the row borders of each grid, from the top."""
    lines = np.concatenate([rules.across, rules.down])
    is_across = np.arange(len(lines)) < len(rules.across)
    grids: list[tuple[Edges, Edges]] = []
    for group in _touching(lines):
        members, across = lines[group], is_across[group]
        if not across.any() or across.all():
            continue
        outer = members[across]
        sides = [outer[:, 0].min(), outer[:, 2].max()]
        columns = _merged(np.concatenate([members[~across][:, 0], sides]))
        borders = _merged(outer[:, 1])
        if len(columns) >= _FEWEST_LINES and len(borders) >= _FEWEST_LINES:
            grids.append((columns, borders))
    return sorted(grids, key=lambda grid: float(grid[1][0]))


def _touching(lines: Lines) -> list[npt.NDArray[np.intp]]:
    """Groups of lines that meet one another."""
    low, high = lines[:, :2] - _SAME_LINE / 2, lines[:, 2:] + _SAME_LINE / 2
    meets = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(2)
    left = np.ones(len(lines), bool)
    groups: list[npt.NDArray[np.intp]] = []
    while left.any():
        group = np.zeros(len(lines), bool)
        fresh = np.zeros(len(lines), bool)
        fresh[np.argmax(left)] = True
        while fresh.any():
            group |= fresh
            fresh = meets[fresh].any(0) & ~group
        left &= ~group
        groups.append(np.flatnonzero(group))
    return groups


def _merged(values: npt.NDArray[np.float32]) -> Edges:
    """Sorted values, those closer than three points taken as one."""
    values = np.sort(values)
    return values[np.concatenate([[True], np.diff(values) > _SAME_LINE])]


def _cells(columns: Edges, lines: Edges, flow: Flow, boxes: Boxes) -> Cells:
    """The text of every cell; a row without lines inside it is split where its text lines up."""
    width, height = len(columns) - 1, len(lines) - 1
    found: list[list[dict[int, list[Row]]]] = [
        [{} for _ in range(width)] for _ in range(height)
    ]
    for word, column, row, line in _words(columns, lines, flow, boxes):
        if 0 <= column < width and 0 <= row < height:
            found[row][column].setdefault(line, []).append(word)
    return [cells for row in found for cells in _split(row)]


def _words(
    columns: Edges, lines: Edges, flow: Flow, boxes: Boxes
) -> Iterator[tuple[Row, int, int, int]]:
    """Each word with the column and the row that its middle lies in, and its line of text."""
    places = boxes[flow.take]
    has_place = (flow.take >= 0) & np.isfinite(places[:, 0])
    at = np.flatnonzero(has_place)
    if not len(at):
        return
    words = np.cumsum(~has_place)[at]
    first = np.flatnonzero(np.concatenate([[True], np.diff(words) > 0]))
    last = np.concatenate([first[1:], [len(at)]]) - 1
    x = (places[at[first], 0] + places[at[last], 2]) / 2
    y = (places[at[first], 1] + places[at[first], 3]) / 2
    text_lines = np.cumsum(flow.take == NEW_LINE)[at[first]]
    named = zip(
        at[first].tolist(),
        at[last].tolist(),
        (np.searchsorted(columns, x) - 1).tolist(),
        (np.searchsorted(lines, y) - 1).tolist(),
        text_lines.tolist(),
        strict=True,
    )
    for start, end, column, row, line in named:
        text = flow.text[start : end + 1]
        yield Row(text, ((0, start, len(text)),)), column, row, line


def _split(row: list[dict[int, list[Row]]]) -> Cells:
    """One row, or one for each text line of its first cell if the other cells stand beside them."""
    filled = [set(cell) for cell in row if cell]
    first = filled[0] if filled else set()
    others = filled[1:]
    together = len(first) > 1 and all(lines <= first for lines in others)
    if not (together and any(len(lines) > _BESIDE * len(first) for lines in others)):
        return [[_together([word for line in cell.values() for word in line]) for cell in row]]
    return [[_together(cell.get(line, [])) for cell in row] for line in sorted(first)]
