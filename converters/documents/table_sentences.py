"""Rows of a table as sentences of "header: value; header: value", so that each stands alone."""

from collections.abc import Sequence

from converters.documents.page import Place
from converters.documents.table_cells import Cell, Row, moved, names_columns
from converters.documents.table_heads import Heads

_MOST_LEVELS = 3  # rows above the one that names the columns
_ENOUGH = 0.5  # of the rows with two cells, and of the used columns with a name


def described(rows: Sequence[Sequence[Cell]]) -> list[Row]:
    """Rows of filled cells as sentences; () where it is a drawing and no table.

    The first row names the columns unless it holds figures; cells that span columns above it are
    told with the names below them, and one alone is the title of all rows. Rows between that only
    name something change the names of the rows after them.
    """
    rows = [row for row in rows if row]
    beside = sum(len(row) > 1 for row in rows)
    if beside < 2 or beside < _ENOUGH * len(rows):
        return []
    width = 1 + max(cell.last for row in rows for cell in row)
    levels = _levels(rows)
    header, body = rows[levels], rows[levels + 1 :]
    heads = Heads.above(rows[:levels], header, width)
    if not (names_columns([cell.content.text for cell in header]) and _covers(heads, body)):
        return [_placed_sentence(Heads(width), row) for row in rows if len(row) > 1]
    told: list[Row] = []
    for row in body:
        if not heads.take(row) and len(row) > 1:
            told.append(_placed_sentence(heads, row))
    return told


def _levels(rows: Sequence[Sequence[Cell]]) -> int:
    """How many rows stand above the one that names the columns: titles and names of groups."""
    for at, row in enumerate(rows[: _MOST_LEVELS + 1]):
        if len(row) > 1 and all(cell.first == cell.last for cell in row):
            return at
    return 0


def _covers(heads: Heads, body: Sequence[Sequence[Cell]]) -> bool:
    used = {cell.first for row in body for cell in row if cell.first == cell.last}
    return sum(bool(heads.name(column)) for column in used) >= _ENOUGH * len(used)


def _placed_sentence(heads: Heads, row: Sequence[Cell]) -> Row:
    """A row that knows where its cells stand. A cell that spans columns belongs to none of them."""
    told, places = f"{heads.title}. " if heads.title else "", list[Place]()
    for number, cell in enumerate(row):
        name = heads.name(cell.first) if cell.first == cell.last else ""
        told += ("; " if number else "") + (f"{name}: " if name else "")
        places += moved(cell.content.places, len(told))
        told += cell.content.text
    return Row(told, tuple(places))
