"""From characters as PDFium numbers them to text in reading order.

`take` maps every character of the text to its number, so that whatever is known of a character
(its box, whether it is hidden) follows it.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from converters.documents.page import Boxes
from converters.documents.reading_order import rows_in_order
from converters.documents.segments import HYPHEN, Segments, segments_of

NEW_LINE, SPACE = -1, -2
_TOUCHING = 0.15  # of the height: closer segments are one word


@dataclass(frozen=True)
class Flow:
    """text, and for each of its characters the number it came from; negative for ours."""

    text: str
    take: npt.NDArray[np.intp]

    def places(self, boxes: Boxes) -> Boxes:
        """The box of each character of the text; NaN for what we added."""
        placed = boxes[self.take]
        placed[self.take < 0] = np.nan
        return placed


def flow_of(codes: npt.NDArray[np.uint32], boxes: Boxes) -> Flow:
    """The text of a page. codes: (n,) code points; boxes: (n, 4), NaN for no place."""
    segments = segments_of(codes, boxes)
    if not len(segments):
        return Flow("", np.zeros(0, np.intp))
    take = _joined_words(codes, _taken(segments))
    shown = np.where(take >= 0, codes[take], np.where(take == NEW_LINE, 10, 32))
    return Flow(_text(shown), take)


def _taken(segments: Segments) -> npt.NDArray[np.intp]:
    """The characters of all segments in reading order, with line feeds and spaces between."""
    rows = rows_in_order(segments)
    order = np.fromiter(chain.from_iterable(rows), np.intp, len(segments))
    row_ends = np.cumsum(np.fromiter(map(len, rows), np.intp, len(rows))) - 1
    length = segments.end[order] - segments.start[order]
    mark = _marks(segments.boxes[order], row_ends)
    room = length + (mark < 0)
    first = np.cumsum(room) - room
    take = np.arange(room.sum()) + np.repeat(segments.start[order] - first, room)
    is_marked = mark < 0
    take[(first + length)[is_marked]] = mark[is_marked]
    return take


def _marks(boxes: Boxes, row_ends: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """(n,): what follows each segment: NEW_LINE, SPACE, or 0 for nothing between one word."""
    gap = boxes[1:, 0] - boxes[:-1, 2]
    touches = np.abs(gap) < _TOUCHING * (boxes[:-1, 3] - boxes[:-1, 1])
    mark = np.full(len(boxes), SPACE)
    mark[:-1][touches] = 0
    mark[row_ends] = NEW_LINE
    return mark


def _joined_words(
    codes: npt.NDArray[np.uint32], take: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Words broken by a hyphen at the end of a line made whole, where the next line goes on.

    Only between lower-case letters: "multi-" + "DST" and "2019-" + "20" keep their hyphen.
    """
    shown = np.where(take >= 0, codes[take], 0)
    marks = np.flatnonzero(shown == HYPHEN)
    moved: list[tuple[int, int]] = []
    for mark in marks.tolist():
        follows = mark + 2 < len(take) and take[mark + 1] == NEW_LINE
        if follows and take[mark + 2] > take[mark] and _is_lower_pair(shown, mark):
            moved.append((mark, _end_of_word(shown, take, mark + 2)))
    return _without(take, shown, moved)


def _is_lower_pair(shown: npt.NDArray[np.uint32], mark: int) -> bool:
    before, after = chr(shown[mark - 1]) if mark else "", chr(shown[mark + 2])
    return before.islower() and after.islower()


def _end_of_word(
    shown: npt.NDArray[np.uint32], take: npt.NDArray[np.intp], start: int
) -> int:
    at = start
    while at < len(take) and take[at] >= 0 and shown[at] not in (32, HYPHEN):
        at += 1
    return at


def _without(
    take: npt.NDArray[np.intp], shown: npt.NDArray[np.uint32], moved: list[tuple[int, int]]
) -> npt.NDArray[np.intp]:
    """Drop each hyphen with its line feed; the line then ends after the word."""
    if not moved:
        return take
    parts: list[npt.NDArray[np.intp]] = []
    done = 0
    for mark, end in moved:
        parts += [take[done:mark], take[mark + 2 : end]]
        done = end
        if end < len(take) and (take[end] == NEW_LINE or shown[end] == HYPHEN):
            continue  # the word is the whole line: it ends there by itself
        parts.append(np.array([NEW_LINE]))
        done = end + (end < len(take) and take[end] >= 0)  # the space that the line feed replaces
    return np.concatenate([*parts, take[done:]])


def _text(codes: npt.NDArray[np.uint32]) -> str:
    """One character a code point: what is no character becomes U+FFFD, controls become spaces."""
    codes = codes.copy()
    codes[codes == HYPHEN] = ord("-")
    codes[((codes >= 0xD800) & (codes < 0xE000)) | (codes > 0x10FFFF) | (codes == 0)] = 0xFFFD
    codes[(codes < 32) & (codes != 10)] = 32
    return codes.astype("<u4").tobytes().decode("utf-32-le")
