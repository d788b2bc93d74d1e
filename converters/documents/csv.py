"""Comma, semicolon and tab separated files: each record a line "header: value; header: value".

So a record keeps its meaning when it is found alone. A page is always 20 records: record 41 is on
page 3 of every reading of the file.
"""

import csv
from collections.abc import Buffer, Iterator
from itertools import chain, islice
from typing import Self

from converters.documents.page import Page
from converters.documents.table_cells import names_columns, sentence
from converters.documents.text import DecodedText, text_page

RECORDS_A_PAGE = 20
_SEPARATORS = ",;\t|"
_SAMPLE_LINES = 50
_LONGEST_CELL = 2**20


class CsvReader:
    """An open file of records; a context manager. replaced counts unreadable records too."""

    page_count: int | None = None
    is_repaired = False

    def __init__(self, data: Buffer) -> None:
        self._decoded = DecodedText(data)
        self._unreadable = 0

    @property
    def replaced(self) -> int:
        """Characters that are no text, and records that could not be read, so far."""
        return self._decoded.replaced + self._unreadable

    def pages(self, first: int = 1) -> Iterator[Page]:
        """Every page from number `first` on."""
        records = self._records()
        header = next(records, [])
        names = header if names_columns(header) else []
        body = records if names or not header else chain([header], records)
        number = 0
        while rows := list(islice(body, RECORDS_A_PAGE)):
            number += 1
            if number >= first:
                yield text_page(number, "".join(_line(names, row) for row in rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._decoded.close()

    def _records(self) -> Iterator[list[str]]:
        lines = self._decoded.lines()
        sample = list(islice(lines, _SAMPLE_LINES))
        csv.field_size_limit(_LONGEST_CELL)
        rows = csv.reader(chain(sample, lines), delimiter=separator_of(sample))
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                self._unreadable += 1
                continue
            if any(cell.strip() for cell in row):
                yield [" ".join(cell.split()) for cell in row]


def separator_of(lines: list[str]) -> str:
    """The sign that splits most lines into the same number of cells, more than one."""

    def agreement(separator: str) -> tuple[int, int]:
        counts = [line.count(separator) for line in lines if line.strip()]
        usual = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(usual), usual) if usual else (0, 0)

    return max(_SEPARATORS, key=agreement)


def _line(names: list[str], row: list[str]) -> str:
    """One record; a cell beyond the header stands without a name."""
    width = max(len(names), len(row))
    padded = (cells + [""] * (width - len(cells)) for cells in (names, row))
    return sentence(*padded) + "\n"
