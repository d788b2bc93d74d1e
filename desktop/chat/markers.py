"""What stands in square brackets: our passage numbers, and what only looks like them. Pure.

Models write them as [1], [1, 2], [1-3], [^1], [1.], [1, page 4], [[1]], 【1】, 【1†source】, ^[1]^,
or as the text of a link. No marker: zero and numbers of four digits (intervals, years), and a
number right behind a variable's name.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

LONGEST = 40  # characters between the brackets
_DIGITS = r"(?!0)\d{1,3}(?!\d)"
_NUMBER = rf"(?:passages?\s+|sources?\s+)?\^?({_DIGITS})\.?"
_PAGE = r"(?:\s*,?\s*(?:pages?|pp?\.)\s*\d+(?:\s*[-–]\s*\d+)?|†[^\]】\n]*)?"
_JOIN = r"\s*(,|;|&|and|to|-|–|—)\s*"
_MARKER = re.compile(rf"\s*({_NUMBER}(?:{_JOIN}{_NUMBER})*){_PAGE}\s*", re.IGNORECASE)
_PARTS = re.compile(rf"({_DIGITS})|(-|–|—|\bto\b)", re.IGNORECASE)
_ODD = re.compile(r"[\^.]|(?![0-9])\d")
_ADDRESS = re.compile(r"\((?:[a-z][a-z0-9+.-]*:|www\.|[#/.])[^\s()]*\)", re.IGNORECASE)
_MAY_BE_ADDRESS = re.compile(r"\([^\s()]*\Z")
_LONGEST_LINK = 200
_IN_SOURCE = re.compile(rf"\[([^\[\]\n]{{1,{LONGEST}}})\]")
_VARIABLE = re.compile(r"(?:^|[^\w])(?:[^\W\d_]|\w*_\w*)$")
_LIST = re.compile(r"\s*(?:[-*+]|\d+[.)])?\s*")
_LONGEST_RANGE = 50
_COPIED_LETTERS = 12
_LOOKED_AT = 80  # characters before a marker


@dataclass(frozen=True)
class Numbers:
    """The numbers of one marker, each once: those of passages that were sent, and the others.

    is_plain: it is written as it is shown.
    """

    known: tuple[int, ...]
    unknown: tuple[int, ...]
    is_plain: bool


class Sources:
    """The passages of one prompt, as far as markers are concerned: numbers, and their own [n]."""

    def __init__(self, numbers: Collection[int], texts: Sequence[str]) -> None:
        self.numbers = frozenset(numbers)
        self._before: dict[str, set[str]] = {}
        for text in texts:
            for found in _IN_SOURCE.finditer(text):
                if _MARKER.fullmatch(found[1]):
                    near = text[max(0, found.start() - _LOOKED_AT) : found.start()]
                    self._before.setdefault(_plain(found[1]), set()).add(_end(near))

    def read(self, inside: str, before: str) -> Numbers | None:
        """The numbers of a marker; None if it is none of ours.

        inside: what stands between the brackets; before: the answer up to the bracket.
        """
        marker = _MARKER.fullmatch(inside)
        if marker is None:
            return None
        numbers = _expanded(marker[1])
        made = Numbers(
            tuple(n for n in numbers if n in self.numbers),
            tuple(n for n in numbers if n not in self.numbers),
            is_plain=marker[1] == inside.strip() and not _ODD.search(inside),
        )
        return None if self._is_alike(made, inside, before) else made

    def _is_alike(self, numbers: Numbers, inside: str, before: str) -> bool:
        """A reference of the source itself, copied with its words, or a variable's index."""
        if not numbers.known and _VARIABLE.search(before[-_LOOKED_AT:]):
            return True
        copied = self._before.get(_plain(inside))
        if copied is None:
            return False
        # A number that we never gave can only be the source's; of one that we gave the words tell.
        end = _end(before[-_LOOKED_AT:])
        return not numbers.known or (len(end) == _COPIED_LETTERS and end in copied)


@dataclass(frozen=True)
class Bracket:
    """inside: the text between the brackets, "" if there is none; end: behind all that opened."""

    inside: str
    end: int


def bracket_at(raw: str, start: int, is_last: bool) -> Bracket | None:
    """What begins at `start`, with a caret or with a bracket; None if it cannot be told yet."""
    none = Bracket("", start + 1)
    at = start + (raw[start] == "^")
    if at == len(raw):
        return none if is_last else None
    if raw[at] not in "[【":
        return none
    is_double = raw.startswith("[[", at)
    inner = at + 1 + is_double
    if inner == len(raw) and not is_last:  # a second bracket may follow
        return None
    for end in range(inner, min(len(raw), inner + LONGEST + 1)):
        if raw[end] in "]】":
            return _closed(raw, inner, end, is_double, is_last, none)
        if raw[end] in "[【\n":
            return none
    return none if is_last or len(raw) > inner + LONGEST else None


def _closed(
    raw: str, inner: int, end: int, is_double: bool, is_last: bool, none: Bracket
) -> Bracket | None:
    if not is_double:
        return Bracket(raw[inner:end], end + 1)
    if end + 1 == len(raw) and not is_last:
        return None
    return Bracket(raw[inner:end], end + 2) if raw[end + 1 : end + 2] == "]" else none


def marker_end(raw: str, start: int, end: int, is_last: bool, is_known: bool) -> int | None:
    """Where a marker ends with what belongs to it: a caret, a link's address, of an unknown one
    the colon of a list of references. None if that cannot be told yet."""
    if end == len(raw):
        return end if is_last else None
    if raw[end] == "^" and raw[start] == "^":
        return end + 1
    if raw[end] == ":" and not is_known and _LIST.fullmatch(raw[:start].rpartition("\n")[2]):
        return end + 1
    if raw[end] != "(":
        return end
    if found := _ADDRESS.match(raw, end):
        return found.end()
    is_open = _MAY_BE_ADDRESS.match(raw, end) is not None and len(raw) < end + _LONGEST_LINK
    return None if is_open and not is_last else end


def _expanded(inside: str) -> tuple[int, ...]:
    """Every number once; a range becomes its numbers, a very long one its ends."""
    numbers: list[int] = []
    is_range = False
    for found in _PARTS.finditer(inside):
        if found[2]:
            is_range = True
            continue
        number = int(found[1])
        if is_range and numbers:
            low, high = sorted((numbers[-1], number))
            if high - low <= _LONGEST_RANGE:
                numbers += range(low, high + 1)
        numbers.append(number)
        is_range = False
    return tuple(dict.fromkeys(numbers))


def _plain(inside: str) -> str:
    return "".join(inside.split()).lower()


def _end(text: str) -> str:
    """The last letters and digits."""
    return "".join(filter(str.isalnum, text.casefold()))[-_COPIED_LETTERS:]
