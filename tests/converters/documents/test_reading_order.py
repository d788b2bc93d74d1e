"""The order of lines on a page: columns, headings, tables, text on its side."""

from tests.converters.documents.test_pdf import only_page
from tests.converters.documents.tiny_pdf import line

LEFT = [f"the left column goes on with line {n} of it" for n in "abcdef"]
RIGHT = [f"and the right column has its own line {n}" for n in "abcdef"]


def _columns(top: float = 700) -> str:
    """Both columns, drawn line by line across the page."""
    return "".join(
        line(60, top - 14 * at, left, size=10) + line(320, top - 14 * at, right, size=10)
        for at, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True))
    )


def lines_of(content: str) -> list[str]:
    return only_page(content).text.splitlines()


def test_columns_are_read_one_after_the_other() -> None:
    assert lines_of(_columns()) == LEFT + RIGHT


def test_a_heading_over_both_columns_comes_first_and_a_footer_last() -> None:
    heading = "A heading that runs over both of the columns of this page of text here"
    footer = "A footer that runs over both of the columns of this page of text, page 1"
    content = _columns() + line(60, 760, heading, size=14) + line(60, 40, footer, size=12)
    assert lines_of(content) == [heading, *LEFT, *RIGHT, footer]


def test_a_line_across_separates_what_stands_above_from_what_stands_below() -> None:
    across = "This line runs over both columns and separates the upper from the lower ones"
    content = _columns(700) + line(60, 580, across) + _columns(540)
    assert lines_of(content) == [*LEFT, *RIGHT, across, *LEFT, *RIGHT]


def test_the_columns_of_a_table_stay_on_their_lines() -> None:
    rows = [
        ("Revenue", "1,200", "1,350"),
        ("Cost of sales", "800", "845"),
        ("Gross profit", "400", "505"),
        ("Taxes", "40", "50"),
        ("Net income", "90", "120"),
    ]
    by_column = "".join(
        line(x, 700 - 15 * at, row[column])
        for column, x in enumerate((60, 300, 420))
        for at, row in enumerate(rows)
    )
    assert lines_of(by_column) == [" ".join(row) for row in rows]


def test_lines_drawn_from_the_bottom_up_are_read_from_the_top_down() -> None:
    drawn = "".join(line(60, 500 + 14 * at, f"line {at}") for at in range(5))
    assert lines_of(drawn) == ["line 4", "line 3", "line 2", "line 1", "line 0"]


def test_pieces_of_one_word_are_not_torn_apart() -> None:
    width = (0.722 + 0.556 + 0.278) * 12
    assert lines_of(line(60, 700, "Net") + line(60 + width, 700, "work")) == ["Network"]


def test_text_on_its_side_does_not_tear_lines_apart() -> None:
    stamp = "q 0 1 -1 0 30 400 cm BT /F1 12 Tf 0 0 Td (arXiv 1909 stamp) Tj ET Q "
    body = "".join(line(60, 500 - 14 * at, text) for at, text in enumerate(LEFT))
    assert lines_of(stamp + body) == [*LEFT, "arXiv 1909 stamp"]
