"""Markdown as pages: its text as it stands, a page beginning with a heading where one is near."""

import re

from converters.documents.text import PAGE_CHARACTERS, TextReader

_HEADING = re.compile(r" {0,3}#{1,6}\s")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_EARLIEST_HEADING = PAGE_CHARACTERS // 3


class MarkdownReader(TextReader):
    """An open Markdown file; a context manager."""

    _in_code = False

    def begins_page(self, line: str, before: str, length: int) -> bool:
        """Before a heading sooner than between paragraphs; never for a # inside of code."""
        if _FENCE.match(line):
            self._in_code = not self._in_code
        if self._in_code:
            return False
        is_heading = bool(_HEADING.match(line)) and length >= _EARLIEST_HEADING
        return is_heading or super().begins_page(line, before, length)
