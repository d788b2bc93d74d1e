"""The straight horizontal and vertical lines that a page draws.

Thin filled boxes, stroked lines, the edges of stroked rectangles and of whole grids in one path.
"""

import ctypes
from ctypes import c_float, c_int, c_void_p
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from converters.documents.page_objects import PATH, PageObjects
from converters.documents.pdfium import PdfPage, typed_function

_MOST_PATHS = 4_000
_MOST_SEGMENTS = 6_000
_THIN = 2.5  # points
_SHORTEST = 8.0
_LINE_TO, _MOVE_TO = 0, 2

_segment = typed_function("FPDFPath_GetPathSegment", c_void_p, c_void_p, c_int)
_point = typed_function("FPDFPathSegment_GetPoint", c_int, c_void_p, c_void_p, c_void_p)
_kind = typed_function("FPDFPathSegment_GetType", c_int, c_void_p)
_closes = typed_function("FPDFPathSegment_GetClose", c_int, c_void_p)

Lines = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rules:
    """(n, 4) x0, y0, x1, y1 as shown, of the lines across and of the lines down."""

    across: Lines
    down: Lines


def rules_of(page: PdfPage, objects: PageObjects) -> Rules:
    """All rules of the page; none where it draws so much that it is a picture."""
    paths = objects.of_kind(PATH)
    if not 0 < len(paths) <= _MOST_PATHS:
        return _sorted_out(np.zeros((0, 4), np.float32))
    boxes = page.shown(objects.bounds(paths))
    size = boxes[:, 2:] - boxes[:, :2]
    is_thin = size.min(1) <= _THIN
    boxes_of_shapes = _edges(page, objects, paths[~is_thin & (size.min(1) > _SHORTEST)])
    return _sorted_out(np.concatenate([boxes[is_thin], boxes_of_shapes]))


def _sorted_out(boxes: Lines) -> Rules:
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    across = (height <= _THIN) & (width >= _SHORTEST)
    down = (width <= _THIN) & (height >= _SHORTEST)
    return Rules(boxes[across], boxes[down])


def _edges(page: PdfPage, objects: PageObjects, paths: npt.NDArray[np.intp]) -> Lines:
    """The sides of the larger paths that have an outline."""
    lines: list[tuple[float, float, float, float]] = []
    room = _MOST_SEGMENTS
    for path in paths[objects.is_stroked(paths)].tolist():
        count = int(objects.segment_counts(np.array([path]))[0])
        room -= count
        if room < 0:
            break
        lines += _sides(objects.addresses[path], count, objects.matrix(path))
    if not lines:
        return np.zeros((0, 4), np.float32)
    ends = np.array(lines)
    left_top = np.minimum(ends[:, :2], ends[:, 2:])
    right_bottom = np.maximum(ends[:, :2], ends[:, 2:])
    low, high = left_top[:, 1], right_bottom[:, 1]
    return page.shown(np.stack([left_top[:, 0], high, right_bottom[:, 0], low], 1))


def _sides(
    path: int, count: int, matrix: npt.NDArray[np.float64]
) -> list[tuple[float, float, float, float]]:
    points: list[tuple[float, float]] = []
    kinds: list[int] = []
    lines: list[tuple[int, int]] = []
    start = 0
    for at in range(count):
        segment = _segment(path, at)
        points.append(_place(segment))
        kinds.append(_kind(segment))
        if kinds[-1] == _MOVE_TO:
            start = at
        elif _closes(segment):
            lines.append((at, start))
    lines += [pair for pair in pairwise(range(count)) if kinds[pair[1]] == _LINE_TO]
    moved = (np.array(points) @ matrix[:2] + matrix[2]).tolist()
    return [(*moved[first], *moved[second]) for first, second in lines]


def _place(segment: int) -> tuple[float, float]:
    values = (c_float * 2)()
    start = ctypes.addressof(values)
    _point(segment, start, start + 4)
    return values[0], values[1]
