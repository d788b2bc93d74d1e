"""What stands above the values of a table: its title, and groups and names of its columns.

They change on the way down: a row between that only names something holds for the rows after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from converters.documents.table_cells import Cell, is_figure, names_columns

_LONGEST_TITLE = 100  # characters; more is a note
Kind = Literal["values", "title", "names", "groups"]


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
    def above(cls, levels: Sequence[Sequence[Cell]], header: Sequence[Cell], width: int) -> "Heads":
        """Of the rows before the first one below the header."""
        made = cls(width, " ".join(title for row in levels if (title := title_in(row))))
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
        match _kind_of(row, self.width, follows_names=bool(was)):
            case "values":
                return False
            case "title":
                self.title = title_in(row) or self.title
            case "names":
                self.names.update((cell.first, cell.content.text) for cell in row)
            case "groups":
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


def title_in(row: Sequence[Cell]) -> str:
    """The text of a row of one cell; more than a line is a note."""
    text = row[0].content.text if len(row) == 1 else ""
    return text if len(text) <= _LONGEST_TITLE else ""


def _kind_of(row: Sequence[Cell], width: int, *, follows_names: bool) -> Kind:
    """What a row below the header is."""
    texts = [cell.content.text for cell in row]
    if any(map(is_figure, texts)) or len(row) == width:
        return "values"
    if len(row) == 1 and row[0].first == 0:
        return "title" if row[0].last > 0 else "values"
    if follows_names and row[0].first > 0 and names_columns(texts):
        return "names"
    spans = any(cell.first < cell.last for cell in row)
    names_no_row = row[0].first > 0 or row[0].last > 0
    return "groups" if len(row) == 1 or (spans and names_no_row) else "values"
