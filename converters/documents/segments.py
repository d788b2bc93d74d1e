"""Runs of characters that belong together: pieces of a line without a wide gap.

They are what reading order sorts. Knows boxes and code points, not PDF.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from converters.documents.page import Boxes

HYPHEN = 0xFFFE  # PDFium's mark of a hyphen that breaks a word at the end of a line
_WIDE_GAP = 1.5  # of the line's height: between cells and columns, not between words
_OTHER_LINE = 0.7  # of the height: further up or down is no superscript
_RIGHT_TO_LEFT = ((0x590, 0x8FF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFF))


@dataclass(frozen=True)
class Segments:
    """n runs [start, end) of characters with their boxes; text counts letters and digits.

    boxes: (n, 4) float32. letters, is_upright, is_reversed: (n,); reversed runs go right to left.
    """

    start: npt.NDArray[np.intp]
    end: npt.NDArray[np.intp]
    boxes: Boxes
    letters: npt.NDArray[np.intp]
    is_reversed: npt.NDArray[np.bool_]

    @cached_property
    def lefts(self) -> list[float]:
        """x0 of each, as a list: rows are sorted by it one by one."""
        return self.boxes[:, 0].tolist()

    @cached_property
    def reversed(self) -> frozenset[int]:
        """The segments that go right to left."""
        return frozenset(np.flatnonzero(self.is_reversed).tolist())

    def __len__(self) -> int:
        return len(self.start)


def segments_of(codes: npt.NDArray[np.uint32], boxes: Boxes) -> Segments:
    """The segments of a page in the order of its characters. boxes: NaN for no place."""
    ink = np.flatnonzero((codes > 32) & (codes != 0xA0))
    if not len(ink):
        return _nothing()
    placed = _filled(boxes[ink])
    breaks = np.flatnonzero(_breaks(codes, ink, placed)) + 1
    first = np.concatenate([[0], breaks])
    last = np.concatenate([breaks, [len(ink)]]) - 1
    inked = codes[ink]
    reversed_ink = np.zeros(len(ink), bool)
    if inked.max() >= 0x590:
        for low, high in _RIGHT_TO_LEFT:
            reversed_ink |= (inked >= low) & (inked <= high)
    return Segments(
        ink[first],
        ink[last] + 1,
        _bounds(placed, first),
        np.add.reduceat(_is_letter(inked), first, dtype=np.intp),
        np.logical_or.reduceat(reversed_ink, first),
    )


def _nothing() -> Segments:
    none = np.zeros(0, np.intp)
    return Segments(none, none, np.zeros((0, 4), np.float32), none, np.zeros(0, bool))


def _filled(boxes: Boxes) -> Boxes:
    """`boxes` with the place of the character before for those that have none."""
    known = np.isfinite(boxes[:, 0])
    if known.all():
        return boxes
    if not known.any():
        return np.zeros_like(boxes)
    source = np.maximum.accumulate(np.where(known, np.arange(len(boxes)), -1))
    return boxes[np.where(source < 0, np.argmax(known), source)]


def _breaks(
    codes: npt.NDArray[np.uint32], ink: npt.NDArray[np.intp], boxes: Boxes
) -> npt.NDArray[np.bool_]:
    """(len(ink) - 1,): whether a segment ends between one character and the next."""
    lines = np.cumsum((codes == 10) | (codes == 13))[ink]
    x0, y0, x1, y1 = boxes.T
    heights = y1 - y0
    height = np.maximum(heights[1:], heights[:-1])
    across = np.maximum(x0[1:] - x1[:-1], x0[:-1] - x1[1:])
    down = np.abs(np.diff(y0 + y1)) / 2
    is_apart = (across > _WIDE_GAP * height) | (down > _OTHER_LINE * height)
    is_turned = _stands_on_its_side(boxes)
    is_apart &= ~(_runs_down(lines, x0 + x1, y0 + y1) | is_turned)
    ends = (np.diff(lines) > 0) & ~is_turned
    return is_apart | ends | (codes[ink[:-1]] == HYPHEN)


def _stands_on_its_side(boxes: Boxes) -> npt.NDArray[np.bool_]:
    """Which steps belong to a turned line that PDFium takes for lines of one character each.

    Its characters are wider than high and touch from top to bottom; digits below one another
    are higher than wide.
    """
    x0, y0, x1, y1 = boxes.T
    width, height = x1 - x0, y1 - y0
    size = np.minimum(width[1:], width[:-1])
    shared = np.minimum(x1[1:], x1[:-1]) - np.maximum(x0[1:], x0[:-1])
    gap = np.maximum(y0[1:] - y1[:-1], y0[:-1] - y1[1:])
    is_wide = (width > height)[1:] & (width > height)[:-1]
    return is_wide & (shared > 0.8 * size) & (np.abs(gap) < 0.6 * size)


def _runs_down(
    lines: npt.NDArray[np.intp], x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which steps belong to a line that is written upwards or downwards, as beside a picture."""
    within = np.diff(lines) == 0
    step_x, step_y = np.abs(np.diff(x)) * within, np.abs(np.diff(y)) * within
    size = int(lines[-1]) + 1
    along = np.bincount(lines[1:], step_x, size)
    down = np.bincount(lines[1:], step_y, size)
    steps = np.bincount(lines[1:], within, size)
    return ((down > 2 * along) & (steps >= 3))[lines[1:]]


def _bounds(boxes: Boxes, first: npt.NDArray[np.intp]) -> Boxes:
    low = np.minimum.reduceat(boxes[:, :2], first, axis=0)
    high = np.maximum.reduceat(boxes[:, 2:], first, axis=0)
    return np.concatenate([low, high], axis=1)


def _is_letter(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Letters, roughly: A-Z, a-z and whatever lies above Latin-1's signs but punctuation."""
    lower = codes | 32
    is_ascii = (lower >= 97) & (lower <= 122) & (codes < 128)
    return is_ascii | ((codes >= 0xC0) & ((codes < 0x2000) | (codes > 0x2BFF)))
