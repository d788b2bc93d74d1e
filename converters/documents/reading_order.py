"""The order in which a reader meets the segments of a page: our own XY-cut.

Columns are cut apart only where both sides read as prose: a table's columns stay together, so that
a row of figures remains one line of text. What crosses a gutter (a title, a wide figure) separates
what stands above from what stands below.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.documents.page import Boxes
from converters.documents.segments import Segments

Indices = npt.NDArray[np.intp]

_FEWEST_ROWS = 4  # on each side of a gutter
_PROSE_LETTERS = 14  # in the median segment of a column: labels and figures have fewer
_PROSE_WIDTH = 0.55  # of its column: lines of prose fill it
_GUTTER_STEP = 3.0
_MARGIN = 30.0  # points: no column is narrower
_NARROWEST_GUTTER = 5.0
_DEEPEST = 12
_SAME_ROW = 0.5  # of the lower height, between middles
_TURNED = 3.0  # times as high as wide: text on its side, read after the page's lines


def rows_in_order(segments: Segments) -> list[list[int]]:
    """Every segment's index once, in reading order; segments on one line of text stay together."""
    rows: list[list[int]] = []
    if not len(segments):
        return rows
    size = segments.boxes[:, 2:] - segments.boxes[:, :2]
    is_turned = size[:, 1] > _TURNED * np.maximum(size[:, 0], _median(size[:, 1]))
    for block in _blocks(segments, np.flatnonzero(~is_turned), _DEEPEST):
        rows += _rows(segments, block)
    return rows + [[turned] for turned in np.flatnonzero(is_turned).tolist()]


def _blocks(segments: Segments, members: Indices, depth: int) -> Iterator[Indices]:
    """Parts of `members` without columns, in reading order."""
    gutter = _best_gutter(segments.boxes[members]) if depth else None
    if gutter is None:
        yield members
        return
    for group, is_crossing in _groups(segments, members, gutter):
        if is_crossing:
            yield group
            continue
        is_left = segments.boxes[group, 2] <= gutter
        left, right = group[is_left], group[~is_left]
        if _are_columns(segments, left, right):
            yield from _blocks(segments, left, depth - 1)
            yield from _blocks(segments, right, depth - 1)
        elif len(group) < len(members):
            yield from _blocks(segments, group, depth - 1)
        else:
            yield group


def _best_gutter(boxes: Boxes) -> float | None:
    """The x that most segments leave free while enough stand on both sides, None without."""
    if len(boxes) < 2 * _FEWEST_ROWS:
        return None
    x0, x1 = np.sort(boxes[:, 0]), np.sort(boxes[:, 2])
    candidates = np.arange(float(x0[0]) + _MARGIN, float(x1[-1]) - _MARGIN, _GUTTER_STEP)
    if not len(candidates):
        return None
    left = np.searchsorted(x1, candidates, "right")
    right = len(boxes) - np.searchsorted(x0, candidates, "left")
    crossing = len(boxes) - left - right
    score = 2 * np.minimum(left, right) - crossing
    score[np.minimum(left, right) < _FEWEST_ROWS] = -len(boxes) * 4
    best = np.flatnonzero(score == score.max())
    if score[best[0]] == -len(boxes) * 4:
        return None
    return float(candidates[best[len(best) // 2]])


def _groups(
    segments: Segments, members: Indices, gutter: float
) -> Iterator[tuple[Indices, bool]]:
    """Runs of lines from top to bottom: those that cross the gutter, those beside it, in turns."""
    left, right = segments.boxes[:, 0], segments.boxes[:, 2]
    crossing = set(np.flatnonzero((left < gutter) & (right > gutter)).tolist())
    rows_of_page = _rows(segments, members)
    for is_crossing, rows in groupby(rows_of_page, lambda row: not crossing.isdisjoint(row)):
        yield np.sort(np.concatenate(list(rows))), is_crossing


def _are_columns(segments: Segments, left: Indices, right: Indices) -> bool:
    if min(len(left), len(right)) < _FEWEST_ROWS:
        return False
    gutter = segments.boxes[right, 0].min() - segments.boxes[left, 2].max()
    if gutter < _NARROWEST_GUTTER:
        return False
    return _is_prose(segments, left) and _is_prose(segments, right)


def _is_prose(segments: Segments, members: Indices) -> bool:
    boxes = segments.boxes[members]
    width = boxes[:, 2].max() - boxes[:, 0].min()
    filled = _median(boxes[:, 2] - boxes[:, 0])
    letters = _median(segments.letters[members])
    return bool(letters >= _PROSE_LETTERS and filled >= _PROSE_WIDTH * width)


def _median(values: npt.NDArray[Any]) -> Any:
    """As np.median, which takes longer to start than these to sort."""
    ordered = np.sort(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _rows(segments: Segments, members: Indices) -> list[list[int]]:
    """The lines of text of one block from top to bottom, each from left to right."""
    boxes = segments.boxes[members]
    middles = ((boxes[:, 1] + boxes[:, 3]) / 2).tolist()
    heights = (boxes[:, 3] - boxes[:, 1]).tolist()
    lefts = boxes[:, 0].tolist()
    names = members.tolist()
    rows: list[list[int]] = []
    middle = height = 0.0
    for at in sorted(range(len(names)), key=lambda at: (middles[at], lefts[at])):
        allowed = _SAME_ROW * min(height, heights[at])
        if rows and middles[at] - middle <= allowed:
            rows[-1].append(at)
            continue
        rows.append([at])
        middle, height = middles[at], heights[at]
    return [_along(segments, [names[at] for at in row]) for row in rows]


def _along(segments: Segments, row: list[int]) -> list[int]:
    """One line's segments in order: as given where it goes right to left, else by place."""
    if len(row) == 1:
        return row
    if not segments.reversed.isdisjoint(row):
        return sorted(row)
    return sorted(row, key=segments.lefts.__getitem__)
