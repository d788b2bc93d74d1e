"""Text files as pages: a form feed ends one, else the paragraph that ends near 3,000 characters.

The same file always gives the same pages. Streamed: a file may be larger than the memory.
"""

import codecs
import re
from collections.abc import Buffer, Iterator
from typing import Self

import numpy as np

from converters.documents.page import Page, without_places
from converters.documents.verdict import verdict_of
from converters.text_encoding import detect_encoding

PAGE_CHARACTERS = 3_000
_EARLIEST_END = 2_000  # a paragraph that ends here ends the page
_LONGEST_LINE = 20_000
_CHUNK_BYTES = 2**18
_SAMPLE_BYTES = 2**20
_REPLACED = "\ufffd"
_FORM_FEED = re.compile(r"(?<!\n)\f")


class TextReader:
    """An open text file; a context manager."""

    page_count: int | None = None
    is_repaired = False

    def __init__(self, data: Buffer) -> None:
        self._decoded = DecodedText(data)

    @property
    def replaced(self) -> int:
        """Characters that are no text in the file's encoding, so far."""
        return self._decoded.replaced

    def pages(self, first: int = 1) -> Iterator[Page]:
        """Every page from number `first` on."""
        for number, text in enumerate(self._texts(), start=1):
            if number >= first:
                yield text_page(number, text)

    def begins_page(self, line: str, before: str, length: int) -> bool:
        """Whether a page of `length` characters that ends in the line `before` ends there."""
        return length >= _EARLIEST_END and bool(line.strip()) and not before.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._decoded.close()

    def _texts(self) -> Iterator[str]:
        held: list[str] = []
        length = 0
        before = ""
        for line in self._decoded.lines():
            is_new = length >= PAGE_CHARACTERS or self.begins_page(line, before, length)
            if line.startswith("\f") or (is_new and length):
                yield "".join(held)
                held, length = [], 0
            before = line.lstrip("\f")
            held.append(before)
            length += len(before)
        if length:
            yield "".join(held)


def text_page(number: int, text: str) -> Page:
    """A page without places."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    verdict = verdict_of(codes[codes > 32], 0.0, 0.0)
    return Page(number, 0.0, 0.0, text, without_places(len(text)), verdict)


class DecodedText:
    """The lines of a file in any Unicode encoding, else in Windows' western one."""

    def __init__(self, data: Buffer) -> None:
        self._bytes = memoryview(data)
        self.encoding, self._start = detect_encoding(bytes(self._bytes[:4]))
        if self.encoding == "utf-8" and not _is_utf8(bytes(self._bytes[:_SAMPLE_BYTES])):
            self.encoding = "cp1252"
        self.replaced = 0

    def lines(self) -> Iterator[str]:
        """Each line with its line feed; a form feed begins a line; very long ones are cut."""
        rest = ""
        for text in self._texts():
            *whole, rest = _split(rest + text)
            yield from whole
        if rest:
            yield rest if rest.endswith("\n") else rest + "\n"

    def close(self) -> None:
        """Let go of the file's bytes."""
        self._bytes.release()

    def _texts(self) -> Iterator[str]:
        """Pieces of text, line ends as line feeds, what is no text replaced and counted."""
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        ends = _LineEnds()
        for start in range(self._start, len(self._bytes), _CHUNK_BYTES):
            chunk = bytes(self._bytes[start : start + _CHUNK_BYTES])
            is_last = start + _CHUNK_BYTES >= len(self._bytes)
            text = decoder.decode(chunk, is_last).replace("\x00", _REPLACED)
            self.replaced += text.count(_REPLACED)
            yield ends.changed(text, is_last)


class _LineEnds:
    """Line ends of all systems as line feeds, over pieces that may cut a pair in two."""

    def __init__(self) -> None:
        self._held = ""

    def changed(self, text: str, is_last: bool) -> str:
        text = self._held + text
        self._held = "\r" if text.endswith("\r") and not is_last else ""
        text = text.removesuffix(self._held) if self._held else text
        return text.replace("\r\n", "\n").replace("\r", "\n")


def _split(text: str) -> list[str]:
    """Lines with their line feeds; the last one may be unfinished."""
    lines: list[str] = []
    for part in _FORM_FEED.sub("\n\f", text).split("\n"):
        starts = range(0, max(1, len(part)), _LONGEST_LINE)
        lines += [part[start : start + _LONGEST_LINE] for start in starts]
    return [line + "\n" for line in lines[:-1]] + lines[-1:]


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True
