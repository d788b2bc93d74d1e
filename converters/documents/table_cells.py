"""Cells of a table with the places of their words, and which rows hold names and no values."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from converters.documents.page import Place

_AMOUNT = re.compile(r"\d,\d{3}\b|\d\.\d|[$€£%]\s?\d|\d\s?%")


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


def names_columns(row: list[str]) -> bool:
    """Whether a first row is a header: two names at least that are no figures, and no amount.

    A wrong name is worse than none: rows below data would be told in the words of data.
    """
    if any(_AMOUNT.search(name) for name in row):
        return False
    return sum(bool(name) and not is_figure(name) for name in row) >= 2


def sentence(header: list[str], row: list[str]) -> str:
    """One row in words, its empty cells left out."""
    pairs = zip(header, row, strict=True)
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)


def joined(words: Sequence[Row]) -> Row:
    """Words or lines of one cell with spaces between."""
    told, places = "", list[Place]()
    for word in words:
        told += " " if told else ""
        places += moved(word.places, len(told))
        told += word.text
    return Row(told, tuple(places))


def is_figure(text: str) -> bool:
    """Whether a text is mostly digits, and no year."""
    digits = sum(character.isdigit() for character in text)
    # A year names a column as well as a word does
    return 2 * digits > len(text) and not re.fullmatch(r"(FY)?\s?(19|20)\d\d[*)]?", text)


def moved(places: Sequence[Place], by: int) -> Iterator[Place]:
    """The places of a text that now begins so many characters later."""
    return ((at + by, start, length) for at, start, length in places)
