"""Rows of a table as sentences of "header: value; header: value", so that each stands alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from converters.documents.page import Place

_AMOUNT = re.compile(r"\d,\d{3}\b|\d\.\d|[$€£%]\s?\d|\d\s?%")
_MOST_LEVELS = 3  # rows above the one that names the columns
_LONGEST_TITLE = 100  # characters; more is a note
_ENOUGH = 0.5  # of the rows with two cells, and of the used columns with a name


@dataclass(frozen=True)
class Row:
    """A cell's text or a whole row's. places: see `Page.row_places`, counted in this text."""

    text: str = ""
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What stands in the columns `first` to `last` of a row; more than one if it spans them."""

    content: Row
    first: int
    last: int


def described(rows: Sequence[Sequence[Cell]]) -> list[Row]:
    """Rows of filled cells as sentences; () where it is a drawing and no table.

    The first row names the columns unless it holds figures; cells that span columns above it are
    told with the names below them, and one alone is the title of all rows.
    """
    rows = [row for row in rows if row]
    beside = sum(len(row) > 1 for row in rows)
    if beside < 2 or beside < _ENOUGH * len(rows):
        return []
    levels = _levels(rows)
    header, body = rows[levels], rows[levels + 1 :]
    title, names = _title(rows[:levels]), _names(rows[:levels], header)
    if not (names_columns([cell.content.text for cell in header]) and _covers(names, body)):
        title, names, body = "", {}, rows
    return [_placed_sentence(title, names, row) for row in body if names or len(row) > 1]


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


def joined(words: Sequence[Row]) -> Row:
    """Words or lines of one cell with spaces between."""
    told, places = "", list[Place]()
    for word in words:
        told += " " if told else ""
        places += _moved(word.places, len(told))
        told += word.text
    return Row(told, tuple(places))


def _levels(rows: Sequence[Sequence[Cell]]) -> int:
    """How many rows stand above the one that names the columns: titles and names of groups."""
    for at, row in enumerate(rows[: _MOST_LEVELS + 1]):
        if len(row) > 1 and all(cell.first == cell.last for cell in row):
            return at
    return 0


def _title(above: Sequence[Sequence[Cell]]) -> str:
    titles = [row[0].content.text for row in above if len(row) == 1]
    return " ".join(title for title in titles if len(title) <= _LONGEST_TITLE)


def _names(above: Sequence[Sequence[Cell]], header: Sequence[Cell]) -> dict[int, str]:
    """The name of each column with those of its groups before it."""
    names: dict[int, str] = {}
    for row in (*(row for row in above if len(row) > 1), header):
        for cell in row:
            for column in range(cell.first, cell.last + 1):
                names[column] = f"{names.get(column, '')} {cell.content.text}".strip()
    return names


def _covers(names: dict[int, str], body: Sequence[Sequence[Cell]]) -> bool:
    used = {cell.first for row in body for cell in row if cell.first == cell.last}
    return len(used & names.keys()) >= _ENOUGH * len(used)


def _name_of(names: dict[int, str], cell: Cell) -> str:
    """Of a cell that spans columns none: it belongs to all of them."""
    return names.get(cell.first, "") if cell.first == cell.last else ""


def _placed_sentence(title: str, names: dict[int, str], row: Sequence[Cell]) -> Row:
    """A row that knows where its cells stand."""
    told, places = f"{title}. " if title else "", list[Place]()
    for number, cell in enumerate(row):
        name = _name_of(names, cell)
        told += ("; " if number else "") + (f"{name}: " if name else "")
        places += _moved(cell.content.places, len(told))
        told += cell.content.text
    return Row(told, tuple(places))


def _moved(places: Sequence[Place], by: int) -> Iterator[Place]:
    return ((at + by, start, length) for at, start, length in places)


def _is_figure(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    # A year names a column as well as a word does
    return 2 * digits > len(text) and not re.fullmatch(r"(FY)?\s?(19|20)\d\d[*)]?", text)
