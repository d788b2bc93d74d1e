"""Records of a CSV or TSV file with a header, streamed; a broken record costs one line only."""

import csv
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from converters.errors import UserError
from converters.events import ShouldStop
from finetune.data.text_lines import MAX_LINE_BYTES, Line, never_stop, read_lines

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Record:
    """The fields of the record that starts in line `number` (from 1, the header is line 1)."""

    number: int
    values: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def read_records(
    path: Path, required: tuple[str, ...], should_stop: ShouldStop = never_stop
) -> Iterator[Record]:
    """Yield the records below the header; each has the header's fields or a problem.

    The delimiter is a tab in .tsv files, else the one of comma, semicolon and tab that the header
    line holds most. A record may span lines inside quotes, up to 16 MiB. Raises UserError if the
    header cannot be read, names a column twice or lacks a required one.
    """
    with _wide_fields():
        source = _Lines(read_lines(path, should_stop))
        header, delimiter = _header(path, source, required)
        while (record := _next_record(source, header, delimiter)) is not None:
            yield record


class _TooLong(Exception):
    """A record that spans more bytes than a line may have."""


class _Lines:
    """Lines that can be given back, so that a broken record loses only its first line."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._returned: deque[Line] = deque()
        self.taken: list[Line] = []

    def next_line(self) -> Line | None:
        """The next line that is not blank, or None at the end."""
        while (line := self._take()) is not None:
            if line.problem or line.text.strip():
                return line
        return None

    def give_back_all_but_first(self) -> None:
        self._returned.extendleft(reversed(self.taken[1:]))

    def from_line(self, first: Line) -> Iterator[str]:
        """Feed `csv.reader` from `first` on, noting what it takes."""
        self.taken = [first]
        size = len(first.text)
        yield first.text + "\n"
        while (line := self._take()) is not None:
            self.taken.append(line)
            size += len(line.text) + 1
            if line.problem or size > MAX_LINE_BYTES:
                raise _TooLong
            yield line.text + "\n"

    def _take(self) -> Line | None:
        return self._returned.popleft() if self._returned else next(self._lines, None)


def _header(
    path: Path, source: _Lines, required: tuple[str, ...]
) -> tuple[list[str], str]:
    line = source.next_line()
    if line is None:
        raise UserError(
            "The data file has no rows.",
            f"{path.name} is empty.",
            "Choose a table with a header line and one row a line.",
        )
    if line.problem:
        raise UserError(
            "The header of the table cannot be read.",
            f"{path.name}, line {line.number}: {line.problem}.",
            "Save the table as UTF-8 text.",
        )
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(DELIMITERS, key=line.text.count)
    names = [name.strip() for name in next(csv.reader([line.text], delimiter=delimiter))]
    _check_columns(path, names, required)
    return names, delimiter


def _check_columns(path: Path, names: list[str], required: tuple[str, ...]) -> None:
    missing = [name for name in required if name not in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not missing and not repeated:
        return
    found = f"{path.name} has the columns {', '.join(names)}"
    lack = f"; it has no column {' and no column '.join(missing)}" if missing else ""
    twice = f"; twice: {', '.join(repeated)}" if repeated else ""
    raise UserError(
        "The columns of the table do not fit.",
        f"{found}{lack}{twice}.",
        "Name the columns with --map prompt=COLUMN,completion=COLUMN.",
    )


def _next_record(source: _Lines, header: list[str], delimiter: str) -> Record | None:
    line = source.next_line()
    if line is None:
        return None
    if line.problem:
        return Record(line.number, problem=line.problem)
    try:
        fields = next(csv.reader(source.from_line(line), delimiter=delimiter, strict=True))
    except (csv.Error, _TooLong) as error:
        source.give_back_all_but_first()
        return Record(line.number, problem=_reason(error))
    if len(fields) != len(header):
        reason = f"{len(fields)} fields where the header has {len(header)}"
        return Record(line.number, problem=reason)
    return Record(line.number, dict(zip(header, fields, strict=True)))


def _reason(error: Exception) -> str:
    if isinstance(error, _TooLong) or "unexpected end of data" in str(error):
        return "a quoted field opens in this line and is not closed"
    return f"the quotes of this record are broken ({error})"


@contextmanager
def _wide_fields() -> Iterator[None]:
    # The csv module keeps its limit (128 KiB a field) per process, not per reader.
    earlier = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(earlier)
