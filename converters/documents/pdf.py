"""A PDF's pages, one at a time, through PDFium. Only ever run in a child on files of others.

A page that PDFium cannot read is handed out as a `LostPage`, so that the rest stays usable.
"""

import re
from collections.abc import Buffer, Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

from converters.documents.flow import Flow, flow_of
from converters.documents.hidden_text import hidden_characters
from converters.documents.page import Boxes, DocumentRefused, Page, Span, Verdict, without_places
from converters.documents.page_objects import IMAGE, PATH, PageObjects, objects_of
from converters.documents.pdfium import PdfDocument, PdfPage, PdfText
from converters.documents.reader import LostPage
from converters.documents.ruled_tables import table_rows
from converters.documents.verdict import sample_of, verdict_of

_MANY_PATHS = 100  # letters drawn as outlines: a scan without a picture
_MOST_PICTURES = 50
_MOST_LOST = 1_000  # pages in a row
_LARGEST_REPAIR = 64 * 2**20
_ROOT = re.compile(rb"\b(\d{1,9}) (\d{1,5}) obj\s*<<[^<>]{0,2000}/Type\s*/Catalog\b")


class PdfReader:
    """An open PDF; a context manager. Raises DocumentRefused: encrypted, damaged.

    is_repaired: its end is missing, and what is left was read.
    """

    def __init__(self, data: Buffer, password: str | None = None) -> None:
        self._document, self.is_repaired = _opened(data, password)
        self.page_count: int | None = self._document.page_count
        self.replaced = 0

    def pages(self, first: int = 1) -> Iterator[Page | LostPage]:
        """Every page from number `first` on. Raises DocumentRefused where only gaps follow."""
        lost = 0
        for number in range(first, self._document.page_count + 1):
            page = self._page_or_none(number)
            yield page or LostPage(number)
            lost = 0 if page else lost + 1
            if lost >= _MOST_LOST:
                raise DocumentRefused(
                    "The PDF names pages that it does not have.",
                    f"It claims {self._document.page_count:,}; the {lost:,} up to page "
                    f"{number:,} are missing.",
                    "Open it in a PDF viewer and save it again, or get it anew.",
                )

    def _page_or_none(self, number: int) -> Page | None:
        try:
            with self._document.page(number - 1) as page:
                return _page(number, page)
        except DocumentRefused:
            return None

    def __enter__(self) -> Self:
        self._document.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._document.__exit__(*error)


def _opened(data: Buffer, password: str | None) -> tuple[PdfDocument, bool]:
    """The document; a file without its end once more with a new one."""
    try:
        return PdfDocument(data, password), False
    except DocumentRefused as error:
        whole = with_new_end(data) if error.kind == "damaged" else None
        if whole is None:
            raise
        return PdfDocument(whole, password), True


def with_new_end(data: Buffer) -> bytes | None:
    """A cut-off file with a trailer, from which PDFium finds its objects again; None: hopeless."""
    view = memoryview(data)
    if view.nbytes > _LARGEST_REPAIR:
        return None
    roots = list(_ROOT.finditer(view))
    if not roots:
        return None
    return bytes(view) + b"\ntrailer << /Root %s %s R >>\n%%%%EOF\n" % roots[-1].groups()


def _page(number: int, page: PdfPage) -> Page:
    objects = objects_of(page.handle)
    with page.text() as text:
        codes = text.codes()
        boxes = _boxes(page, text, codes)
        hidden = hidden_characters(page, text, boxes, objects)
        flow = flow_of(codes, boxes)
        verdict = _verdict(page, text, codes, objects)
    rows = table_rows(page, objects, flow, boxes)
    spans = _spans(flow, hidden, codes > 32)
    return Page(
        number=number,
        width=page.width,
        height=page.height,
        text=flow.text,
        boxes=flow.places(boxes),
        verdict=verdict,
        hidden=sum(end - start for start, end in spans),
        hidden_spans=spans,
        table_rows=tuple(row.text for row in rows),
        row_places=tuple(row.places for row in rows),
    )


def _boxes(page: PdfPage, text: PdfText, codes: npt.NDArray[np.uint32]) -> Boxes:
    """The boxes of all that is drawn; NaN for white space and for what has no extent."""
    ink = np.flatnonzero(codes > 32)
    shown = page.shown(text.boxes(ink))
    is_nothing = (shown[:, 2] <= shown[:, 0]) & (shown[:, 3] <= shown[:, 1])
    shown[is_nothing | ~np.isfinite(shown).all(1)] = np.nan
    boxes = without_places(text.count)
    boxes[ink] = shown
    return boxes


def _verdict(
    page: PdfPage, text: PdfText, codes: npt.NDArray[np.uint32], objects: PageObjects
) -> Verdict:
    is_ink = codes > 32
    ink = np.flatnonzero(is_ink)
    sample = sample_of(ink)
    unmapped = text.unmapped(sample) / len(sample) if len(sample) else 0.0
    return verdict_of(codes[is_ink], unmapped, _picture_share(page, objects))


def _picture_share(page: PdfPage, objects: PageObjects) -> float:
    """How much of the page pictures cover; outlines without any text count as one."""
    pictures = objects.of_kind(IMAGE)[:_MOST_PICTURES]
    if not len(pictures):
        return float(len(objects.of_kind(PATH)) >= _MANY_PATHS)
    shown = page.shown(objects.bounds(pictures))
    shown = np.nan_to_num(shown).clip(0, [page.width, page.height] * 2)
    areas = (shown[:, 2] - shown[:, 0]) * (shown[:, 3] - shown[:, 1])
    return float(min(1.0, areas.sum() / max(1.0, page.width * page.height)))


def _spans(
    flow: Flow, hidden: npt.NDArray[np.bool_], is_ink: npt.NDArray[np.bool_]
) -> tuple[Span, ...]:
    """Runs of hidden characters in the text; white space inside a run belongs to it."""
    if not hidden.any():
        return ()
    flags = hidden[flow.take] & (flow.take >= 0)
    at = np.flatnonzero(flags)
    if not len(at):
        return ()
    seen = np.flatnonzero((flow.take >= 0) & is_ink[flow.take] & ~flags)
    breaks = np.flatnonzero(np.diff(np.searchsorted(seen, at))) + 1
    runs = np.split(at, breaks)
    return tuple((int(run[0]), int(run[-1]) + 1) for run in runs)
