"""The [n] of a streamed answer, checked against the passages that were sent. Pure.

Numbers that we did not send are removed and counted; of a link that is a citation the address goes.
Code, other links, and references that stand in the source behind the same words are left alone.
What is shown never depends on how the stream was cut.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from desktop.chat.markers import Numbers, Sources, bracket_at, marker_end
from desktop.chat.passages import Passage

_FENCE = re.compile(r"[ \t>]*(?:(`{3,})[^`\n]*|(~{3,})[^\n]*)(\n|\Z)")
_MAY_BE_FENCE = re.compile(r"[ \t>]*(?:`*|~*|`{3,}[^`\n]*|~{3,}[^\n]*)\Z")
_PLAIN = re.compile(r"[^`\[【^ \t\n\\(*]+")
_LEAD = re.compile(r"[ \t]*(\(|\*{1,2})?")
_CLOSING = {"(": ")", "*": "*", "**": "**"}
_TICKS = re.compile(r"`+")
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
_LONGEST_CODE = 1_000


@dataclass(frozen=True)
class Mark:
    """A citation in the shown text, from start to end, and the passages that it names."""

    start: int
    end: int
    numbers: tuple[int, ...]


@dataclass
class CitationReader:
    """Reads one answer as it comes. text: what is shown so far; raw: what the model wrote.

    removed: every number that was taken out, in order.
    """

    passages: Sequence[Passage]
    raw: str = ""
    text: str = ""
    marks: list[Mark] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    _at: int = 0
    _fence: str = ""

    def __post_init__(self) -> None:
        numbers = [passage.n for passage in self.passages]
        self._sources = Sources(numbers, [passage.text for passage in self.passages])

    def feed(self, piece: str) -> str:
        """Take a piece of the answer; what can be shown now. It may come a few words later."""
        self.raw += piece
        return self._read(is_last=False)

    def finish(self) -> str:
        """The answer has ended: the rest that can be shown."""
        return self._read(is_last=True)

    def _read(self, *, is_last: bool) -> str:
        shown = len(self.text)
        while self._at < len(self.raw):
            end = self._step(is_last)
            if end is None:  # what follows decides
                break
            self._at = end
        return self.text[shown:]

    def _step(self, is_last: bool) -> int | None:
        """Show one element; where the next one begins, None if it cannot be told yet."""
        raw, at = self.raw, self._at
        if at == 0 or raw[at - 1] == "\n":
            if not is_last and _MAY_BE_FENCE.match(raw, at):
                return None
            if found := _FENCE.match(raw, at):
                return self._fence_line(found)
        if self._fence:
            return self._show(raw.find("\n", at) + 1 or len(raw))
        if found := _PLAIN.match(raw, at):
            return self._show(found.end())
        if raw[at] in " \t[【^(*":
            return self._bracket(is_last)
        if raw[at] == "`":
            return self._code(is_last)
        if raw[at] == "\\":
            return None if at + 1 == len(raw) and not is_last else self._show(at + 2)
        return self._show(at + 1)

    def _show(self, end: int) -> int:
        self.text += self.raw[self._at : end]
        return min(end, len(self.raw))

    def _fence_line(self, found: re.Match[str]) -> int:
        sign = found[1] or found[2]
        if not self._fence:
            self._fence = sign
        elif self._closes(found[0], sign):
            self._fence = ""
        return self._show(found.end())

    def _closes(self, line: str, sign: str) -> bool:
        is_bare = not line.strip(" \t>\n").strip(sign[0])
        return is_bare and sign[0] == self._fence[0] and len(sign) >= len(self._fence)

    def _code(self, is_last: bool) -> int | None:
        """Code between equal runs of backticks in one paragraph; a lone run is text."""
        raw = self.raw
        opening = _TICKS.match(raw, self._at)
        begin = opening.end() if opening else self._at + 1
        limit = begin + _LONGEST_CODE
        ends = _PARAGRAPH_END.search(raw, begin)
        stop = min(limit, ends.start() if ends else limit)
        for run in _TICKS.finditer(raw, begin):
            if run.start() >= stop:
                break
            if run.end() == len(raw) and not is_last:
                return None
            if run.end() - run.start() == begin - self._at:
                return self._show(run.end())
        is_decided = is_last or ends is not None or len(raw) >= limit
        return self._show(begin) if is_decided else None

    def _bracket(self, is_last: bool) -> int | None:
        """Spaces, a parenthesis or stars, and what follows: they go with a marker that is removed.
        """
        raw = self.raw
        lead = _LEAD.match(raw, self._at)
        start = lead.end() if lead else self._at
        if start == len(raw):
            return self._show(start) if is_last else None
        if raw[start] not in "[【^":
            return self._show(start)
        bracket = bracket_at(raw, start, is_last)
        if bracket is None:
            return None
        numbers = self._sources.read(bracket.inside, raw[:start]) if bracket.inside else None
        if numbers is None:
            return self._show(start + 1)
        end = marker_end(raw, start, bracket.end, is_last, bool(numbers.known))
        if end is None:
            return None
        if numbers.known:
            self.text += raw[self._at : start]
            self._mark(numbers, raw[start:end], bracket.inside)
        else:
            end = self._removed_at(start, end, lead[1] if lead else None, is_last)
        if end is not None:
            self.removed += numbers.unknown
        return end

    def _mark(self, numbers: Numbers, written: str, inside: str) -> None:
        begin = len(self.text)
        is_shown = numbers.is_plain and written == f"[{inside}]" and not numbers.unknown
        self.text += written if is_shown else _written(numbers.known)
        self.marks.append(Mark(begin, len(self.text), numbers.known))

    def _removed_at(self, start: int, end: int, opening: str | None, is_last: bool) -> int | None:
        """The end of a marker that goes, with the signs that stand around nothing else."""
        if opening is None:
            return end
        close = _CLOSING[opening]
        next_to = self.raw[end : end + len(close)]
        if next_to == close:
            return end + len(close)
        if close.startswith(next_to) and not is_last:
            return None
        self.text += self.raw[self._at : start]
        return end


def _written(numbers: Sequence[int]) -> str:
    return f"[{', '.join(map(str, numbers))}]"
