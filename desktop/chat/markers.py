"""What stands in square brackets: our passage numbers, and what only looks like them. Pure."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

LONGEST = 40  # characters between the brackets
_NUMBER = r"(?:passages?\s+|sources?\s+)?([1-9]\d{0,2})"
_JOIN = r"\s*(,|;|&|and|to|-|–|—)\s*"
_MARKER = re.compile(rf"\s*{_NUMBER}(?:{_JOIN}{_NUMBER})*\s*", re.IGNORECASE)
_PARTS = re.compile(r"([1-9]\d{0,2})|(-|–|—|\bto\b)", re.IGNORECASE)
_IN_SOURCE = re.compile(rf"\[([^\[\]\n]{{1,{LONGEST}}})\]")
_VARIABLE = re.compile(r"(?:^|[^\w])(?:[^\W\d_]|\w*_\w*)$")
_LONGEST_RANGE = 50
_COPIED_LETTERS = 12
_LOOKED_AT = 80  # characters before a marker


@dataclass(frozen=True)
class Numbers:
    """The numbers of one marker, each once: those of passages that were sent, and the others."""

    known: tuple[int, ...]
    unknown: tuple[int, ...]


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
        if not _MARKER.fullmatch(inside):
            return None
        numbers = _expanded(inside)
        made = Numbers(
            tuple(n for n in numbers if n in self.numbers),
            tuple(n for n in numbers if n not in self.numbers),
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
