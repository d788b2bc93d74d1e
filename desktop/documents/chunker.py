"""A page's text cut into chunks that know their place to the character.

Lines are joined to at most 1,800 characters; a chunk begins within the last 150 characters of the
one before it and never leaves its page. Joining puts one space in place of each line end
character, so `chunk.text[i]` is `page_text[chunk.start + i]` or that space.
"""

from dataclasses import dataclass

CHUNK_CHARACTERS = 1_800
OVERLAP_CHARACTERS = 150
BELOW = "\f"  # between a page's own text and its table rows (`table_text`)


@dataclass(frozen=True)
class Chunk:
    """`text` is `join_lines(page_text[start:end])`; page: counted from 1."""

    page: int
    start: int
    end: int
    text: str


def join_lines(text: str) -> str:
    """`text` as one line of the same length."""
    return text.replace("\r", " ").replace("\n", " ")  # translate takes fifty times as long


def chunks_of(page: int, text: str) -> list[Chunk]:
    """The chunks of one page, in order; none for a page without a visible character."""
    spans = chunk_spans(text)
    return [Chunk(page, start, end, join_lines(text[start:end])) for start, end in spans]


def chunk_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each chunk. Every visible character lies in one of them."""
    if BELOW not in text:
        return _spans(text)
    spans: list[tuple[int, int]] = []
    first = 0
    for part in text.split(BELOW):
        spans += [(first + start, first + end) for start, end in _spans(part)]
        first += len(part) + 1
    return spans


def _spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start, last = _skip_spaces(text, 0), len(text.rstrip())
    while start < last:
        end = last if last - start <= CHUNK_CHARACTERS else _cut(text, start)
        spans.append((start, end))
        if end == last:
            break
        start = _next_start(text, start, end)
    return spans


def _cut(text: str, start: int) -> int:
    """Where the chunk that begins at `start` ends: after a line, else a word, else anywhere."""
    limit = start + CHUNK_CHARACTERS
    # Half a chunk at least: one short line before a very long one is no chunk of its own.
    least = start + CHUNK_CHARACTERS // 2
    line_end = text.rfind("\n", least, limit)
    if line_end >= 0:
        return line_end + 1
    space = text.rfind(" ", least, limit)
    return space + 1 if space >= 0 else limit


def _next_start(text: str, start: int, end: int) -> int:
    """The first line in the overlap, else its first word, else all of it; always after `start`."""
    earliest = max(end - OVERLAP_CHARACTERS, start + 1)
    for separator in ("\n", " "):
        found = text.find(separator, earliest - 1, end - 1)
        if found >= 0:
            return _skip_spaces(text, found + 1)
    return earliest


def _skip_spaces(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
