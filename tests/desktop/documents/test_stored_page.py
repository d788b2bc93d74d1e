"""A page comes back from the library as it went in, to a tenth of a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from converters.documents.page import Page, without_places
from desktop.documents import stored_page
from desktop.documents.stored_page import PageDamaged, pack_boxes, page_of, row_of, unpack_boxes


def _page(text: str, boxes: np.ndarray | None = None) -> Page:
    places = without_places(len(text)) if boxes is None else boxes.astype(np.float32)
    return Page(3, 612, 792, text, places, "text", 2, ((0, 2),), ("a: 1; b: 2",))


def test_everything_of_a_page_is_kept():
    page = _page("Häuser 😀\n")
    back = page_of(row_of(page))
    assert (back.number, back.text, back.hidden_spans, back.table_rows) == (
        3, "Häuser 😀\n", ((0, 2),), ("a: 1; b: 2",)
    )
    assert (back.width, back.height, back.verdict, back.hidden) == (612, 792, "text", 2)
    assert np.isnan(back.boxes).all()


@given(arrays(np.float32, (40, 4), elements=st.floats(-500, 3_200, width=32)), st.data())
def test_boxes_are_kept_to_a_tenth_of_a_point(boxes, data):
    boxes[data.draw(st.lists(st.integers(0, 39)))] = np.nan
    back = unpack_boxes(pack_boxes(boxes, 612, 792), 40, 612, 792)
    assert np.array_equal(np.isnan(back), np.isnan(boxes))
    assert np.nanmax(np.abs(back - boxes), initial=0) <= 0.0502


def test_a_poster_of_five_metres_keeps_its_places():
    boxes = np.array([[10, 20, 14_000, 14_100]], np.float32)
    back = unpack_boxes(pack_boxes(boxes, 14_400, 14_400), 1, 14_400, 14_400)
    assert np.abs(back - boxes).max() < 0.3


def test_text_without_places_takes_no_room():
    assert pack_boxes(without_places(5), 612, 792) == b""
    assert np.isnan(unpack_boxes(b"", 5, 612, 792)).all()


def test_what_sqlite_cannot_hold_is_replaced():
    assert page_of(row_of(_page("a\ud800b\0c"))).text == "a?b\ufffdc"


@pytest.mark.parametrize("column", ["text", "boxes"])
def test_a_changed_byte_is_found(column):
    boxes = np.arange(40, dtype=np.float32).reshape(10, 4)
    row = list(row_of(_page("0123456789", boxes)))
    at = stored_page.COLUMNS.split(", ").index(column)
    value = row[at]
    row[at] = "0123456781" if column == "text" else value[:-3] + bytes([value[-3] ^ 1]) + value[-2:]
    with pytest.raises(PageDamaged):
        page_of(tuple(row))
