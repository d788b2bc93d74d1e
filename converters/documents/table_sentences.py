"""Rows of a table as sentences of "header: value; header: value", so that each stands alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

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


def _covers(heads: "Heads", body: Sequence[Sequence[Cell]]) -> bool:
    used = {cell.first for row in body for cell in row if cell.first == cell.last}
    return sum(bool(heads.name(column)) for column in used) >= _ENOUGH * len(used)


def _placed_sentence(heads: "Heads", row: Sequence[Cell]) -> Row:
    """A row that knows where its cells stand. A cell that spans columns belongs to none of them."""
    told, places = f"{heads.title}. " if heads.title else "", list[Place]()
    for number, cell in enumerate(row):
        name = heads.name(cell.first) if cell.first == cell.last else ""
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


@dataclass
class Heads:
    """What is said above the rows that come: a title, and groups and names of columns."""

    width: int
    title: str = ""
    groups: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    is_open: Literal["names", "group", ""] = "names"
    """What a row that only names something would add to."""

    @classmethod
    def above(
        cls, levels: Sequence[Sequence[Cell]], header: Sequence[Cell], width: int
    ) -> "Heads":
        """Of the rows before the first one below the header."""
        made = cls(width, " ".join(title for row in levels if (title := _title_in(row))))
        for row in levels:
            if len(row) > 1:
                made._add(made.groups, row)
        made._add(made.names, header)
        return made

    def name(self, column: int) -> str:
        """What stands above a column: its group first."""
        return f"{self.groups.get(column, '')} {self.names.get(column, '')}".strip()

    def take(self, row: Sequence[Cell]) -> bool:
        """Whether a row is one of names and not of values; then it holds from here on."""
        if self._goes_on(row):
            self._add(self.names, row)
            return True
        was, self.is_open = self.is_open, ""
        if any(_is_figure(cell.content.text) for cell in row) or len(row) == self.width:
            return False
        if len(row) == 1 and row[0].first == 0:
            self.title = _title_in(row) or self.title if row[0].last > 0 else self.title
            return row[0].last > 0
        if was and names_columns([cell.content.text for cell in row]) and row[0].first > 0:
            self.names.update((cell.first, cell.content.text) for cell in row)
            return True
        if len(row) > 1 and all(cell.first == cell.last for cell in row):
            return False
        if len(row) > 1 and not (row[0].first > 0 or row[0].last > 0):
            return False
        for cell in row:
            self._head(cell, was)
        self.is_open = was or "group"
        return True

    def _head(self, cell: Cell, was: str) -> None:
        for column in range(cell.first, cell.last + 1):
            if was == "names":
                self.groups[column] = self.name(column)
                self.names[column] = cell.content.text
            else:
                self.groups[column] = cell.content.text

    def _goes_on(self, row: Sequence[Cell]) -> bool:
        """Whether the names are not whole without this row: "Dim=" above "100"."""
        names = [self.names.get(cell.first, "") for cell in row[1:]]
        if self.is_open != "names" or len(names) < 2 or len(set(names)) > 1:
            return False
        return names[0].endswith("=") or all(c.content.text.startswith("=") for c in row[1:])

    @staticmethod
    def _add(names: dict[int, str], row: Sequence[Cell]) -> None:
        for cell in row:
            for column in range(cell.first, cell.last + 1):
                names[column] = f"{names.get(column, '')} {cell.content.text}".strip()


def _title_in(row: Sequence[Cell]) -> str:
    """The text of a row of one cell; more than a line is a note."""
    text = row[0].content.text if len(row) == 1 else ""
    return text if len(text) <= _LONGEST_TITLE else ""
