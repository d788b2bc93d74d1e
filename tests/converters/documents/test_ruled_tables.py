"""Ruled tables become rows of "header: value"."""

from itertools import pairwise

import pytest

from converters.documents.table_cells import Cell, Row, names_columns
from converters.documents.table_sentences import described
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
    rows = [[Cell(Row(text), at, at) for at, text in enumerate(row) if text] for row in cells]
    return [row.text for row in described(rows)]


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


GROUPS = ["Product", "2018", "2019", "2018", "2019"]
WIDE_LEFTS = [60, 160, 240, 320, 400, 480]
FIGURES = [["Pumps", "1", "2", "3", "4"], ["Valves", "5", "6", "7", "8"]]


def _groups_table(first: str) -> str:
    """Five columns under a first row with two cells of two columns each, which hold `first`."""
    rules = "".join(f"60 {y} m 480 {y} l S\n" for y in (730, *TOPS))
    rules += "".join(f"{x} 610 m {x} 700 l S\n" for x in WIDE_LEFTS)
    rules += "".join(f"{x} 700 m {x} 730 l S\n" for x in (60, 160, 320, 480))
    return (
        rules
        + first
        + "".join(
            line(WIDE_LEFTS[column] + 5, TOPS[row] - 20, text)
            for row, texts in enumerate([GROUPS, *FIGURES])
            for column, text in enumerate(texts)
        )
    )


@pytest.mark.parametrize("words", [("Pressed steel parts", "Cast iron parts"), ("Steel", "Iron")])
def test_a_cell_over_two_columns_is_told_with_the_names_below_it(words: tuple[str, str]) -> None:
    steel, iron = words
    middle = [240 - 3 * len(steel), 400 - 2.6 * len(iron)]
    first = line(middle[0], 710, steel) + line(middle[1], 710, iron)
    assert only_page(_groups_table(first)).table_rows[1] == (
        f"Product: Valves; {steel} 2018: 5; {steel} 2019: 6; {iron} 2018: 7; {iron} 2019: 8"
    )


def test_a_title_over_all_columns_names_none_of_them() -> None:
    rules = "".join(f"60 {y} m 400 {y} l S\n" for y in (730, *TOPS))
    rules += "".join(f"{x} 610 m {x} 700 l S\n" for x in LEFTS[1:-1])
    rules += "".join(f"{x} 610 m {x} 730 l S\n" for x in (60, 400))
    page = only_page(rules + line(100, 710, "Sales of all the parts that we make") + _text())
    assert page.table_rows == tuple(f"Sales of all the parts that we make. {row}" for row in ROWS)


def test_a_header_without_lines_keeps_its_columns() -> None:
    rules = "".join(f"60 {y} m 400 {y} l S\n" for y in TOPS)
    rules += "".join(f"{x} 610 m {x} 670 l S\n" for x in LEFTS[1:-1])
    rules += "".join(f"{x} 610 m {x} 700 l S\n" for x in (60, 400))
    assert only_page(rules + _text()).table_rows == ROWS


def test_boxes_of_a_drawing_are_no_table() -> None:
    boxes = "".join(f"{x} {y} 200 20 re S\n" for x in (60, 300) for y in (600, 640, 680))
    lines = "".join(f"{x} {y} m {x} {y + 20} l S\n" for x in (160, 400) for y in (620, 660))
    lines += "260 650 m 300 650 l S\n"
    names = ["Board of Directors", "Chief Executive Officer", "Chief Financial Officer"]
    words = "".join(line(80, 606 + 40 * at, name) for at, name in enumerate(names))
    assert only_page(boxes + lines + words + line(310, 606, "Legal")).table_rows == ()


def _rows(*rows: str) -> list[str]:
    """Rows of cells as "0 text | 1-3 text"."""
    made: list[list[Cell]] = []
    for row in rows:
        made.append([])
        for cell in row.split(" | "):
            place, _, text = cell.partition(" ")
            first, _, last = place.partition("-")
            made[-1].append(Cell(Row(text), int(first), int(last or first)))
    return [row.text for row in described(made)]


def test_a_row_between_that_only_names_something_holds_from_there_on() -> None:
    """Table 3 of 1801.05147: two data sets, one after the other."""
    assert _rows("0 Model | 1 Data: MT", "1 P R F1", "0 CRF | 1 75 66 70", "1 Data: UQ",
                 "0 CRF | 1 65 55 59") == [
        "Model: CRF; Data: MT P R F1: 75 66 70", "Model: CRF; Data: UQ P R F1: 65 55 59",
    ]  # fmt: skip
    assert _rows("0 Model | 1-2 Data MT", "0 Name | 1 P | 2 R", "0 CRF | 1 75 | 2 66",
                 "1-2 Data UQ", "1 R | 2 P", "0 CRF | 1 55 | 2 65", "0-2 Later runs",
                 "0 LSTM | 1 5 | 2 6") == [
        "Model Name: CRF; Data MT P: 75; Data MT R: 66",
        "Model Name: CRF; Data UQ R: 55; Data UQ P: 65",
        "Later runs. Model Name: LSTM; Data UQ R: 5; Data UQ P: 6",
    ]  # fmt: skip


def test_a_header_that_is_not_whole_goes_on_in_the_next_row() -> None:
    assert _rows("0 Dim | 1 Dim= | 2 Dim=", "0 Score | 1 100 | 2 200", "0 Acc | 1 85 | 2 91") == [
        "Dim Score: Acc; Dim= 100: 85; Dim= 200: 91"
    ]


def test_values_that_are_words_are_no_names() -> None:
    assert _rows("0 Item | 1 State | 2 Place", "0 Pump | 1 new | 2 Bern", "0 Pipe | 2 Zug",
                 "0 Valves") == [
        "Item: Pump; State: new; Place: Bern", "Item: Pipe; Place: Zug"
    ]  # fmt: skip


def test_a_name_in_two_lines_is_one_cell_and_figures_in_two_lines_are_two_rows() -> None:
    rules = "".join(f"60 {y} m 400 {y} l S\n" for y in (700, 660, 630, 590, 560, 530))
    rules += "".join(f"{x} 530 m {x} 700 l S\n" for x in LEFTS)
    words = [(65, 680, "Kind of"), (65, 668, "part"), (205, 680, "Sales"), (205, 668, "in 2018"),
             (305, 680, "Sales 2019"), (65, 640, "Pumps"), (205, 640, "12"), (305, 640, "13"),
             (65, 612, "Pipes"), (65, 600, "Valves"), (205, 612, "1"), (205, 600, "2"),
             (305, 612, "3"), (305, 600, "4"), (65, 570, "Rods"), (205, 570, "5"),
             (65, 540, "Nuts"), (305, 540, "6")]  # fmt: skip
    page = only_page(rules + "".join(line(*word) for word in words))
    assert page.table_rows[:4] == (
        "Kind of part: Pumps; Sales in 2018: 12; Sales 2019: 13",
        "Kind of part: Pipes; Sales in 2018: 1; Sales 2019: 3",
        "Kind of part: Valves; Sales in 2018: 2; Sales 2019: 4",
        "Kind of part: Rods; Sales in 2018: 5",
    )


def test_names_that_miss_most_columns_are_not_used() -> None:
    body = [["a", "1", "2", "3", "4"], ["b", "5", "6", "7", "8"]]
    assert _described([["Item", "Size", "", "", ""], *body]) == [
        "Item; Size", "a; 1; 2; 3; 4", "b; 5; 6; 7; 8"]  # fmt: skip
