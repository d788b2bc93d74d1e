"""Where a passage stands on its page, as rectangles around its words.

Letters and digits alone are compared: line ends, hyphens, quotation marks and spaces differ between
a passage and its page, its letters do not. First the whole passage, then line by line, then pieces
of five words (FACTS 3.7).
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from converters.documents.page import Page

Rectangle = tuple[float, float, float, float]

_PIECE_WORDS = 5
_SHORTEST_LINE = 8  # letters: shorter ones stand anywhere on a page
_SHORTEST_PIECE = 12
_LEAST_FOUND = 0.4  # of the passage's letters; less is chance
_WIDE_GAP = 2.0  # of the height
_OTHER_LINE = 0.5


def rectangles(page: Page, passage: str) -> list[Rectangle]:
    """x0, y0, x1, y1 in points from the top left corner, one for each line of the passage.

    [] when less than two fifths of its letters are on the page, or the page has no places.
    """
    if not len(page.boxes) or np.isnan(page.boxes).all():
        return []
    letters = _letters(page.text)
    wanted = _letters(passage)
    spans = _found(letters.text, wanted.text, passage)
    if sum(end - start for start, end in spans) < _LEAST_FOUND * max(1, len(wanted.text)):
        return []
    at = sorted({letters.place[index] for start, end in spans for index in range(start, end)})
    placed = _around(page, _with_signs(page.text, np.array(at, np.intp)))
    return [rectangle for rectangle, _ in placed]


def span_rectangles(page: Page, start: int, end: int) -> list[Rectangle]:
    """The same for the characters `start` to `end` of the page's text, which need no finding."""
    return [rectangle for rectangle, _ in placed_rectangles(page, start, end)]


def placed_rectangles(page: Page, start: int, end: int) -> list[tuple[Rectangle, tuple[int, int]]]:
    """Those of `span_rectangles`, each with the span of the page's text that it stands around."""
    return _around(page, np.arange(start, min(end, len(page.text))))


@dataclass(frozen=True)
class _Letters:
    """Letters and digits of a text in one case; place: where each stands in it."""

    text: str
    place: list[int]


def _letters(text: str) -> _Letters:
    parts: list[str] = []
    place: list[int] = []
    for at, character in enumerate(text):
        if not character.isalnum():
            continue
        plain = character.lower() if character.isascii() else _plain(character)
        parts.append(plain)
        place += [at] * len(plain)
    return _Letters("".join(parts), place)


def _plain(character: str) -> str:
    """Without case and accents, ligatures taken apart."""
    apart = unicodedata.normalize("NFKD", character).casefold()
    return "".join(letter for letter in apart if letter.isalnum())


def _found(page: str, wanted: str, passage: str) -> list[tuple[int, int]]:
    """Spans of the page's letters that are the passage's, none twice."""
    if not wanted:
        return []
    if (start := page.find(wanted)) >= 0:
        return [(start, start + len(wanted))]
    spans: list[tuple[int, int]] = []
    near = 0
    for line in passage.splitlines():
        text = _letters(line).text
        if len(text) < _SHORTEST_LINE:
            continue
        start = _nearest(page, text, near)
        found = [(start, start + len(text))] if start >= 0 else list(_pieces(page, line, near))
        spans += found
        near = found[-1][1] if found else near
    return _apart(spans)


def _pieces(page: str, line: str, near: int) -> Iterator[tuple[int, int]]:
    words = line.split()
    for at in range(0, len(words), _PIECE_WORDS):
        text = _letters(" ".join(words[at : at + _PIECE_WORDS])).text
        start = _nearest(page, text, near) if len(text) >= _SHORTEST_PIECE else -1
        if start >= 0:
            near = start + len(text)
            yield start, near


def _nearest(page: str, text: str, near: int) -> int:
    """Where `text` stands next after `near`, else before it; -1 where it does not."""
    start = page.find(text, near)
    return start if start >= 0 else page.find(text)


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans without what the one before has already."""
    apart: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        start = max(start, apart[-1][1]) if apart else start
        if start < end:
            apart.append((start, end))
    return apart


def _around(
    page: Page, at: npt.NDArray[np.intp]
) -> list[tuple[Rectangle, tuple[int, int]]]:
    """Boxes around these characters, line by line, and from where to where each reaches."""
    boxes = page.boxes[at]
    has_place = np.isfinite(boxes[:, 0])
    at, boxes = at[has_place], boxes[has_place]
    if not len(boxes):
        return []
    height = boxes[:, 3] - boxes[:, 1]
    taller = np.maximum(height[1:], height[:-1])
    down = np.abs(np.diff(boxes[:, 1] + boxes[:, 3])) / 2
    right, left = boxes[1:, 0] - boxes[:-1, 2], boxes[:-1, 0] - boxes[1:, 2]
    breaks = (down > _OTHER_LINE * taller) | (np.maximum(right, left) > _WIDE_GAP * taller)
    first = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    low = np.minimum.reduceat(boxes[:, :2], first, axis=0).tolist()
    high = np.maximum.reduceat(boxes[:, 2:], first, axis=0).tolist()
    begins, ends = at[first].tolist(), (at[np.append(first[1:], len(at)) - 1] + 1).tolist()
    return [
        ((*start, *end), (begin, stop))
        for start, end, begin, stop in zip(low, high, begins, ends, strict=True)
    ]


def _with_signs(text: str, at: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Signs between two found letters belong to them: a full stop, an apostrophe, a bracket."""
    places = at.tolist()
    signs = [
        place
        for before, after in pairwise(places)
        if after - before > 1 and not any(map(str.isalnum, text[before + 1 : after]))
        for place in range(before + 1, after)
    ]
    return np.array(sorted(places + signs), np.intp)
