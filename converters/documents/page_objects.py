"""What a page draws, in drawing order: kind, paint and place of every object, inside forms too.

Objects are addresses of PDFium's; they are valid while their page is open.
"""

import ctypes
from collections.abc import Iterator
from ctypes import c_float, c_int, c_void_p
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat

import numpy as np
import numpy.typing as npt

from converters.documents.bulk_calls import Pointer, bulk_function, filled_rows, pointer
from converters.documents.pdfium import typed_function

TEXT, PATH, IMAGE, SHADING, FORM = 1, 2, 3, 4, 5
MOST_OBJECTS = 50_000
_DEEPEST_FORM = 6

_page_size = typed_function("FPDFPage_CountObjects", c_int, c_void_p)
_form_size = typed_function("FPDFFormObj_CountObjects", c_int, c_void_p)
_matrix = typed_function("FPDFPageObj_GetMatrix", c_int, c_void_p, c_void_p)
_page_object = bulk_function("FPDFPage_GetObject", c_void_p)
_form_object = bulk_function("FPDFFormObj_GetObject", c_void_p)
_kind = bulk_function("FPDFPageObj_GetType", c_int)
_mode = bulk_function("FPDFTextObj_GetTextRenderMode", c_int)
_draw_mode = bulk_function("FPDFPath_GetDrawMode", c_int)
_segments = bulk_function("FPDFPath_CountSegments", c_int)
_fill = bulk_function("FPDFPageObj_GetFillColor", c_int)
_bounds = bulk_function("FPDFPageObj_GetBounds", c_int)

Indices = npt.NDArray[np.intp]


@dataclass
class PageObjects:
    """n objects in drawing order. form: which form each is in, as an index into `matrices`.

    modes: how a text object is painted, 3 draws nothing; -1 for other kinds. is_whole: False when
    there are more than MOST_OBJECTS, which are the ones listed. pointers: the addresses as
    arguments.
    """

    addresses: list[int]
    pointers: list[Pointer]
    modes: list[int]
    form: list[int]
    matrices: list[npt.NDArray[np.float64]]
    is_whole: bool = True

    @cached_property
    def kinds(self) -> npt.NDArray[np.int8]:
        """(n,): TEXT, PATH, IMAGE, SHADING or FORM."""
        kinds = np.full(len(self.addresses), TEXT, np.int8)
        others = np.flatnonzero(np.array(self.modes, np.int8) < 0)
        kinds[others] = list(map(_kind, self._chosen(others)))
        return kinds

    def of_kind(self, kind: int) -> Indices:
        """The indices of all objects of one kind."""
        return np.flatnonzero(self.kinds == kind)

    def fills(self, which: Indices) -> npt.NDArray[np.int16]:
        """(n, 4): red, green, blue, alpha from 0 to 255; -1 where it is no plain colour."""
        known, values = filled_rows(_fill, len(which), (self._chosen(which),), 4, np.uint32)
        colours = values.astype(np.int16)
        colours[~known] = -1
        return colours

    def is_filled(self, which: Indices) -> npt.NDArray[np.bool_]:
        """Which of these paths are filled, not only outlined."""
        return self._draw_modes(which)[:, 0] > 0

    def is_stroked(self, which: Indices) -> npt.NDArray[np.bool_]:
        """Which of these paths have an outline."""
        return self._draw_modes(which)[:, 1] > 0

    def bounds(self, which: Indices) -> npt.NDArray[np.float64]:
        """(n, 4): left, top, right, bottom in the page's PDF space; NaN where unknown."""
        known, found = filled_rows(_bounds, len(which), (self._chosen(which),), 4, np.float32)
        boxes = found.astype(np.float64)[:, [0, 3, 2, 1]]
        boxes[~known] = np.nan
        forms = np.array([self.form[at] for at in which.tolist()], np.intp)
        for number in set(forms[forms > 0].tolist()):
            inside = forms == number
            boxes[inside] = transformed(boxes[inside], self.matrices[number])
        return boxes

    def segment_counts(self, which: Indices) -> npt.NDArray[np.intp]:
        """(n,): how many points and lines each of these paths has."""
        return np.fromiter(map(_segments, self._chosen(which)), np.intp, len(which))

    def matrix(self, at: int) -> npt.NDArray[np.float64]:
        """(3, 2): from the object's own space to the page's."""
        return _with_last(_matrix_of(self.addresses[at])) @ self.matrices[self.form[at]]

    def _draw_modes(self, which: Indices) -> npt.NDArray[np.int32]:
        return filled_rows(_draw_mode, len(which), (self._chosen(which),), 2, np.int32)[1]

    def _chosen(self, which: Indices) -> list[Pointer]:
        return list(map(self.pointers.__getitem__, which.tolist()))


def objects_of(page: int) -> PageObjects:
    """All objects of the open page at this address, the content of forms after their form."""
    found = PageObjects([], [], [], [], [np.array([[1.0, 0], [0, 1], [0, 0]])])
    _walk(found, map(_page_object, repeat(pointer(page)), range(_page_size(page))), 0)
    return found


def transformed(
    boxes: npt.NDArray[np.float64], matrix: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The bounding boxes (left, top, right, bottom) of `boxes` after `matrix` (3, 2)."""
    corners = boxes[:, [0, 1, 0, 3, 2, 1, 2, 3]].reshape(-1, 4, 2)
    moved = corners @ matrix[:2] + matrix[2]
    low, high = moved.min(1), moved.max(1)
    return np.stack([low[:, 0], high[:, 1], high[:, 0], low[:, 1]], 1)


def _walk(found: PageObjects, objects: Iterator[int], form: int, depth: int = 0) -> None:
    room = MOST_OBJECTS - len(found.addresses)
    addresses = list(islice(objects, room))
    found.is_whole &= next(objects, None) is None
    pointers = list(map(pointer, addresses))
    modes = list(map(_mode, pointers))
    done = 0

    def append(end: int) -> None:
        found.addresses += addresses[done:end]
        found.pointers += pointers[done:end]
        found.modes += modes[done:end]
        found.form += [form] * (end - done)

    for at in _forms(pointers, modes) if depth < _DEEPEST_FORM else ():
        append(at + 1)
        done = at + 1
        found.matrices.append(_with_last(_matrix_of(addresses[at])) @ found.matrices[form])
        inside = map(_form_object, repeat(pointers[at]), range(_form_size(addresses[at])))
        _walk(found, inside, len(found.matrices) - 1, depth + 1)
    append(len(addresses))


def _forms(pointers: list[Pointer], modes: list[int]) -> list[int]:
    return [at for at, mode in enumerate(modes) if mode < 0 and _kind(pointers[at]) == FORM]


def _matrix_of(address: int) -> npt.NDArray[np.float64]:
    values = (c_float * 6)()
    _matrix(address, ctypes.addressof(values))
    return np.array(values, np.float64).reshape(3, 2)


def _with_last(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([matrix, [[0], [0], [1]]], axis=1)
