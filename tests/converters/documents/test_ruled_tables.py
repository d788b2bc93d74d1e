"""Ruled tables become rows of "header: value"."""

from itertools import pairwise

from converters.documents.ruled_tables import Row, described, names_columns
from tests.converters.documents.test_pdf import only_page
from tests.converters.documents.tiny_pdf import line

CELLS = [["Product", "2018", "2019"], ["Pumps", "1,200", "1,350"], ["Net valves", "80", "95"]]
LEFTS, TOPS = [60, 200, 300, 400], [700, 670, 640, 610]


def _text() -> str:
    return "".join(
        line(LEFTS[column] + 5, TOPS[row] - 20, text)
        for row, texts in enumerate(CELLS)
        for column, text in enumerate(texts)
    )


ROWS = ("Product: Pumps; 2018: 1,200; 2019: 1,350", "Product: Net valves; 2018: 80; 2019: 95")


def test_lines_drawn_one_by_one() -> None:
    rules = "".join(f"60 {y} m 400 {y} l S\n" for y in TOPS)
    rules += "".join(f"{x} 610 m {x} 700 l S\n" for x in LEFTS)
    assert only_page(rules + _text()).table_rows == ROWS


def test_a_box_for_each_cell() -> None:
    boxes = "".join(
        f"{left} {low} {right - left} {high - low} re S\n"
        for left, right in pairwise(LEFTS)
        for high, low in pairwise(TOPS)
    )
    assert only_page(boxes + _text()).table_rows == ROWS


def test_a_whole_grid_in_one_path_under_a_matrix() -> None:
    grid = "".join(f"30 {y / 2} m 200 {y / 2} l " for y in TOPS)
    grid += "".join(f"{x / 2} 305 m {x / 2} 350 l " for x in LEFTS)
    assert only_page(f"q 2 0 0 2 0 0 cm {grid} S Q" + _text()).table_rows == ROWS


def test_thin_filled_boxes_without_the_outer_sides() -> None:
    rules = "".join(f"60 {y} 340 .5 re f\n" for y in TOPS)
    rules += "".join(f"{x} 610 .5 90 re f\n" for x in LEFTS[1:-1])
    assert only_page(rules + _text()).table_rows == ROWS


def test_rows_without_lines_between_them_are_split() -> None:
    rules = "".join(f"60 {y} m 400 {y} l S\n" for y in (700, 670, 610))
    rules += "".join(f"{x} 610 m {x} 700 l S\n" for x in LEFTS)
    assert only_page(rules + _text()).table_rows == ROWS


def test_no_lines_no_table_and_an_underlined_page_is_none() -> None:
    assert only_page(_text()).table_rows == ()
    assert only_page("".join(f"60 {y} m 400 {y} l S\n" for y in TOPS) + _text()).table_rows == ()


def _described(cells: list[list[str]]) -> list[str]:
    return [row.text for row in described([[Row(text) for text in row] for row in cells])]


def test_the_words_of_a_row_are_placed_and_its_headers_are_not() -> None:
    rules = "".join(f"60 {y} m 400 {y} l S\n" for y in TOPS)
    rules += "".join(f"{x} 610 m {x} 700 l S\n" for x in LEFTS)
    page = only_page(rules + _text())
    for row, places in zip(page.table_rows, page.row_places, strict=True):
        for at, start, length in places:
            assert row[at : at + length] == page.text[start : start + length]
    valves = [page.text[start : start + length] for _, start, length in page.row_places[1]]
    assert valves == ["Net", "valves", "80", "95"]


def test_a_first_row_of_figures_names_no_column() -> None:
    assert _described([["", "12", "13"], ["Pumps", "14", "15"]]) == ["12; 13", "Pumps; 14; 15"]


def test_empty_cells_are_left_out() -> None:
    assert _described([["A", "B", ""], ["1", "", "x"]]) == ["A: 1; x"]


def test_a_first_row_with_amounts_names_no_columns():
    assert names_columns(["Item", "2020", "Change"])
    for cell in ("Total revenues 42,293", "19 %", "$ 17", "up 3.5"):
        assert not names_columns(["Converse", "Item", cell])
