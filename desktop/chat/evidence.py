"""Which words of a passage carry a statement of the answer. Pure.

For a cited passage: the quote. For an answer without any citation: the passages that its sentences
share most words with, marked as matched and never as cited.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from desktop.chat.citations import CitationReader, Mark
from desktop.chat.passages import Passage, Rectangle
from desktop.core.records import Record
from desktop.documents.query import STOP_WORDS
from desktop.documents.words import WORD, stem

MATCHED_SHARE = 0.6
"""Of a sentence's telling words that must stand in a passage to be matched with it."""
LEAST_WORDS = 3
"""Telling words without which a sentence is matched with nothing."""
_SENTENCE = re.compile(r"[^\n]+?(?:[.!?](?=\s)|。|(?=\n)|\Z)")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"(?:19|20)\d\d")
_LONGEST_QUOTE = 300
_PIECE = re.compile(r"\S(?:.{0,198}\S)?(?=\s|\Z)", re.DOTALL)


class Citation(Record):
    """A place in a document. how: "cited" by the model, or "matched" by its words by us.

    quote: the passage's own words that come closest; rects: of its lines. start, end: in the
    answer's text, of the first mark, or of the sentence that was matched. share: of the sentence's
    words, if matched.
    """

    n: int
    file: str
    path: str
    page: int
    rects: tuple[Rectangle, ...]
    quote: str
    how: Literal["cited", "matched"]
    start: int
    end: int
    share: float = 0.0


class Checked(Record):
    """An answer's citations, each passage once. removed: numbers that we had not sent."""

    citations: tuple[Citation, ...]
    removed: tuple[int, ...]
    marks: tuple[tuple[int, int, tuple[int, ...]], ...]


def checked(answer: CitationReader) -> Checked:
    """The citations of an answer that was read to its end, with their quotes."""
    by_number = {passage.n: passage for passage in answer.passages}
    firsts: dict[int, Mark] = {}
    for mark in answer.marks:
        for number in mark.numbers:
            firsts.setdefault(number, mark)
    cited = [
        _citation(by_number[n], _statement(answer.text, mark), "cited", mark.start, mark.end)
        for n, mark in firsts.items()
    ]
    return Checked(
        citations=tuple(cited or matched(answer.text, answer.passages)),
        removed=tuple(answer.removed),
        marks=tuple((mark.start, mark.end, mark.numbers) for mark in answer.marks),
    )


def matched(text: str, passages: Sequence[Passage]) -> list[Citation]:
    """The best passage of each sentence that has one; every passage once, for its first."""
    stems = [(passage, set(_telling(passage.text))) for passage in passages]
    found: dict[int, Citation] = {}
    for start, end in _spans(text):
        sentence = text[start:end]
        words = set(_telling(sentence))
        if len(words) < LEAST_WORDS or not stems:
            continue
        share, at = max((len(words & held) / len(words), -i) for i, (_, held) in enumerate(stems))
        passage = stems[-at][0]
        if share < MATCHED_SHARE or passage.n in found:
            continue
        made = _citation(passage, sentence, "matched", start, end)
        # A number that is not there speaks against it, whatever the words say: an amount has to
        # stand in the quote; a year may stand above it, at the head of a table.
        numbers = _numbers(sentence)
        if numbers <= _numbers(passage.text) and _amounts(numbers) <= _numbers(made.quote):
            found[passage.n] = made.model_copy(update={"share": round(share, 2)})
    return list(found.values())


def quoted(statement: str, passage: str) -> tuple[int, int]:
    """The piece of the passage that shares most with a statement; all of it if none shares.

    Of pieces with as many of its amounts: those tell more than words do.
    """
    words, amounts = set(_telling(statement)), _amounts(_numbers(statement))
    pieces = list(_pieces(passage))
    scores = [
        len(words & set(_telling(passage[start:end])))
        + len(words) * len(amounts & _numbers(passage[start:end]))
        for start, end in pieces
    ]
    best = max(scores, default=0)
    return pieces[scores.index(best)] if best else (0, len(passage))


def _citation(
    passage: Passage, statement: str, how: Literal["cited", "matched"], start: int, end: int
) -> Citation:
    first, last = quoted(statement, passage.text)
    return Citation(
        n=passage.n, file=passage.file, path=passage.path, page=passage.page,
        rects=_rects(passage, first, last), quote=passage.text[first:last], how=how, start=start,
        end=end,
    )  # fmt: skip


def _rects(passage: Passage, first: int, last: int) -> tuple[Rectangle, ...]:
    """Those of the lines that these characters stand in; all where the lines are not known."""
    if len(passage.spans) != len(passage.rects):
        return passage.rects
    placed = zip(passage.rects, passage.spans, strict=True)
    return tuple(rect for rect, (start, end) in placed if start < last and first < end)


def _statement(text: str, mark: Mark) -> str:
    """The sentence that a mark stands in; of one that begins with it, the one before."""
    before = ""
    for start, end in _spans(text):
        sentence = text[start:end]
        if start <= mark.start < end:
            own = text[start : mark.start]
            return sentence if _telling(own) or not before else before
        before = sentence
    return before


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for found in _SENTENCE.finditer(text):
        if found[0].strip():
            yield found.span()


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Sentences; a long one (a table has no full stops) in pieces of whole words."""
    for start, end in _spans(text):
        while start < end and text[start].isspace():
            start += 1
        if end - start <= _LONGEST_QUOTE:
            yield start, end
        else:
            yield from (found.span() for found in _PIECE.finditer(text, start, end))


def _numbers(text: str) -> set[str]:
    """Whole numbers as they are read, 2.3 and 1,350 each one; 1350 without its commas."""
    return {found.replace(",", "") for found in _NUMBER.findall(text)}


def _amounts(numbers: set[str]) -> set[str]:
    return {number for number in numbers if not _YEAR.fullmatch(number)}


def _telling(text: str) -> list[str]:
    return [stem(word) for word in WORD.findall(text) if word.lower() not in STOP_WORDS]
