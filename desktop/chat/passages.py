"""Passages with the numbers that a conversation gave them.

A number belongs to one passage for the whole conversation: what is found again keeps its number, so
that a [2] in an old answer and in a new one are the same place.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from pydantic import TypeAdapter

from desktop.core.records import Record

Rectangle = tuple[float, float, float, float]


class FoundPassage(Protocol):
    """What is used of a passage that a search found."""

    @property
    def file(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def rects(self) -> tuple[Rectangle, ...]: ...
    @property
    def spans(self) -> tuple[tuple[int, int], ...]: ...


class Passage(Record):
    """A piece of a page as it was sent, and its number. page: from 1; rects: in points.

    spans: what of `text` each rectangle stands around; () in conversations of before.
    """

    n: int
    file: str
    path: str
    page: int
    text: str
    rects: tuple[Rectangle, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()


_PASSAGES = TypeAdapter(tuple[Passage, ...])


def numbered(
    found: Iterable[FoundPassage], known: Sequence[Passage] = ()
) -> tuple[Passage, ...]:
    """The passages with their numbers: those of `known` keep theirs, others take the next free."""
    numbers = {_place(passage): passage.n for passage in known}
    made: list[Passage] = []
    for passage in found:
        n = numbers.setdefault(_place(passage), 1 + max(numbers.values(), default=0))
        made.append(Passage(
            n=n, file=passage.file, path=passage.path, page=passage.page, text=passage.text,
            rects=passage.rects, spans=passage.spans,
        ))  # fmt: skip
    return tuple({passage.n: passage for passage in made}.values())


def to_json(passages: Sequence[Passage]) -> str:
    """The passages as one line of JSON."""
    return _PASSAGES.dump_json(tuple(passages)).decode()


def from_json(text: str) -> tuple[Passage, ...]:
    """The passages of `to_json`."""
    return _PASSAGES.validate_json(text)


def _place(passage: FoundPassage | Passage) -> tuple[str, int, str]:
    return passage.path, passage.page, passage.text
