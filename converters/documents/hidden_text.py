"""Which characters of a page a reader does not see.

Never drawn (render mode 3, transparent), below 2 points, outside of the page, or in the colour of
what lies behind. Cheap tests on every page; a page is only drawn where a picture lies behind. The
invisible text of a scan that stands over its printed words is no hidden text.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.documents.page import Boxes
from converters.documents.page_objects import IMAGE, PATH, SHADING, TEXT, PageObjects
from converters.documents.page_picture import Picture
from converters.documents.pdfium import PdfPage, PdfText

_SMALLEST = 2.0
_MAYBE_SMALL = 2.8  # the box of a font of 2 points, ascenders and descenders included
_NEAR = 32  # of 255, in every channel
_OPAQUE = 25  # of 255; below, nothing is seen
_LIGHT = 200
_MOST_COLOURS = 32
_RECTANGLE = 6  # segments; the box around any other shape says little about what it covers
_INVISIBLE_MODE = 3
_FEWEST_BEHIND = (20.0, 4.0)  # points; smaller fills are rules and dots, not backgrounds

Flags = npt.NDArray[np.bool_]


def hidden_characters(page: PdfPage, text: PdfText, boxes: Boxes, objects: PageObjects) -> Flags:
    """(text.count,) flags. boxes: as shown, NaN where a character has no place."""
    hidden = _outside(page, boxes) | _tiny(text, boxes)
    painted = _HiddenObjects(page, objects).found()
    if len(painted):
        addresses = np.array([objects.addresses[at] for at in painted.tolist()], np.uint64)
        hidden |= np.isin(text.objects(), addresses)
    return hidden


def _outside(page: PdfPage, boxes: Boxes) -> Flags:
    x, y = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    return (x < 0) | (y < 0) | (x > 2 * page.width) | (y > 2 * page.height)


def _tiny(text: PdfText, boxes: Boxes) -> Flags:
    """Small boxes first; then the true size of one character for each size of box."""
    size = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    tiny = size < _MAYBE_SMALL
    if not tiny.any():
        return tiny
    heights = np.round(boxes[:, 3] - boxes[:, 1], 2)
    for height in set(heights[tiny].tolist()):
        same = tiny & (heights == height)
        tiny[same] = 0 < text.font_size(int(np.argmax(same))) < _SMALLEST
    return tiny


@dataclass
class _Behind:
    """What may lie behind text: filled areas and pictures, by their index in drawing order.

    fills: (n, 3); is_sure: plain opaque rectangles, whose box is what they cover.
    """

    index: npt.NDArray[np.intp]
    boxes: npt.NDArray[np.float64]
    fills: npt.NDArray[np.int16]
    is_sure: Flags


class _HiddenObjects:
    """Looks for the text objects of one page that their paint hides."""

    def __init__(self, page: PdfPage, objects: PageObjects) -> None:
        self._page = page
        self._objects = objects
        self._texts = objects.of_kind(TEXT)

    def found(self) -> npt.NDArray[np.intp]:
        """Indices of the hidden text objects."""
        if not len(self._texts):
            return self._texts
        invisible = np.array(self._objects.modes, np.int8)[self._texts] == _INVISIBLE_MODE
        fills = self._objects.fills(self._texts)
        known = fills[:, 0] >= 0
        transparent = known & (fills[:, 3] < _OPAQUE)
        unsure = invisible | transparent | (known & (fills[:, :3].min(1) >= _LIGHT))
        paths = self._objects.of_kind(PATH)
        path_fills = self._objects.fills(paths)
        unsure |= known & self._matches_an_area(fills, paths, path_fills)
        if not unsure.any():
            return self._texts[:0]
        drawn = ~(invisible | transparent)
        return self._judged(unsure, drawn, fills, self._behind(paths, path_fills))

    def _matches_an_area(
        self,
        fills: npt.NDArray[np.int16],
        paths: npt.NDArray[np.intp],
        path_fills: npt.NDArray[np.int16],
    ) -> Flags:
        """Text whose colour is near that of a filled area somewhere on the page."""
        matches = np.zeros(len(fills), bool)
        packed = fills[:, :3].astype(np.int32) @ (65536, 256, 1)
        for colour in sorted(set(packed.tolist()))[:_MOST_COLOURS]:
            same = packed == colour
            near = (np.abs(path_fills[:, :3] - fills[np.argmax(same), :3]) < _NEAR).all(1)
            if near.any() and len(self._areas(paths[near])):
                matches |= same
        return matches

    def _areas(self, paths: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        boxes = self._objects.bounds(paths)
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 1] - boxes[:, 3]
        wide, high = _FEWEST_BEHIND
        large = paths[(width > wide) & (height > high)]
        return large[self._objects.is_filled(large)]

    def _behind(
        self, paths: npt.NDArray[np.intp], path_fills: npt.NDArray[np.int16]
    ) -> _Behind:
        areas = self._areas(paths)
        pictures = np.flatnonzero(np.isin(self._objects.kinds, (IMAGE, SHADING)))
        index = np.concatenate([areas, pictures])
        fills = np.zeros((len(index), 4), np.int16)
        fills[: len(areas)] = path_fills[np.searchsorted(paths, areas)]
        is_sure = fills[:, 3] > 255 - _OPAQUE
        is_sure[: len(areas)] &= self._objects.segment_counts(areas) <= _RECTANGLE
        boxes, order = self._objects.bounds(index), np.argsort(index)
        return _Behind(index[order], boxes[order], fills[order, :3], is_sure[order])

    def _judged(
        self, unsure: Flags, drawn: Flags, fills: npt.NDArray[np.int16], behind: _Behind
    ) -> npt.NDArray[np.intp]:
        picture: Picture | None = None
        hidden: list[int] = []
        which = np.flatnonzero(unsure)
        boxes = self._objects.bounds(self._texts[which])
        for at, box in zip(which.tolist(), boxes, strict=True):
            under = _under(behind, int(self._texts[at]), box)
            if under is None:
                is_hidden = not drawn[at] or bool((fills[at, :3] >= 255 - _NEAR).all())
            elif drawn[at] and behind.is_sure[under] and _differ(fills[at], behind.fills[under]):
                is_hidden = False
            else:
                picture = picture or Picture(self._page)
                is_hidden = picture.contrast(box) < _NEAR
            if is_hidden:
                hidden.append(at)
        return self._texts[hidden]


def _under(behind: _Behind, text: int, box: npt.NDArray[np.float64]) -> int | None:
    """What lies right behind the middle of `box`; None is the bare paper."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    areas = behind.boxes
    covers = (areas[:, 0] <= x) & (x <= areas[:, 2]) & (areas[:, 3] <= y) & (y <= areas[:, 1])
    under = np.flatnonzero(covers & (behind.index < text))
    return int(under[-1]) if len(under) else None


def _differ(fill: npt.NDArray[np.int16], other: npt.NDArray[np.int16]) -> bool:
    return bool((np.abs(fill[:3] - other) >= _NEAR).any())
