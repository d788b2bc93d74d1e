"""Where a passage stands: rectangles around its lines, and none for what is not there."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from converters.documents.kinds import open_document
from converters.documents.page import Page
from converters.documents.rectangles import Rectangle, rectangles
from tests.benchmarks.text_pdf import LEADING, LEFT, SIZE, TOP, SetText, write_pdf
from tests.converters.documents.test_pdf import only_page, pages_of
from tests.converters.documents.tiny_pdf import document, line

LINES = [
    "The first line of this page speaks of pumps,",
    "the second one \u2014 of valves and their sizes (in mm).",
    "The third line repeats: the first line of this page.",
]


@pytest.fixture
def page() -> Page:
    plain = [text.replace("\u2014", "-") for text in LINES]
    return only_page("".join(line(72, 700 - 20 * at, text) for at, text in enumerate(plain)))


def rows(found: list[Rectangle]) -> list[int]:
    """Which lines the rectangles lie on, from 0."""
    return [round((842 - 700 - (y0 + y1) / 2) / -20) for _, y0, _, y1 in found]


def test_a_passage_over_two_lines_has_a_rectangle_on_each(page: Page) -> None:
    found = rectangles(page, "speaks of pumps, the second one of valves")
    assert rows(found) == [0, 1]
    (x0, _, x1, _), (second_x0, _, second_x1, _) = found
    assert x0 == pytest.approx(206, abs=3)
    assert second_x0 == pytest.approx(72, abs=2)
    assert x1 > second_x1 > second_x0


@pytest.mark.parametrize(
    "passage",
    [
        "THE SECOND ONE - of  valves and their\nsizes",
        "the second one \u2013 of valves and their sizes",
        "thesecondoneofvalvesandtheirsizes",
        "the se-\ncond one of valves and their sizes",
    ],
)
def test_case_spaces_dashes_and_line_ends_do_not_matter(page: Page, passage: str) -> None:
    assert rows(rectangles(page, passage)) == [1]


def test_ligatures_and_accents_do_not_matter() -> None:
    page = only_page(line(72, 700, "The office of Jos\xe9 in S\xe3o Paulo"))
    assert len(rectangles(page, "the o\ufb03ce of Jose\u0301 in Sao Paulo")) == 1


def test_a_line_that_differs_is_found_by_pieces_of_five_words(page: Page) -> None:
    found = rectangles(page, "the second one of valves XXXXX and so on and so forth")
    assert rows(found) == [1]


def test_what_is_not_on_the_page_has_no_rectangle(page: Page) -> None:
    assert rectangles(page, "a passage that speaks of something else altogether") == []
    assert rectangles(page, "") == []
    assert rectangles(page, "...!") == []


def test_a_word_broken_by_a_hyphen_has_a_rectangle_on_both_lines() -> None:
    page = only_page(line(72, 700, "this is com-") + line(72, 680, "plete"))
    assert rows(rectangles(page, "complete")) == [0, 1]


def test_columns_are_not_joined_across_the_gutter() -> None:
    cells = line(72, 700, "Net sales") + line(400, 700, "1,200")
    found = rectangles(only_page(cells), "Net sales 1,200")
    assert len(found) == 2
    assert found[0][2] < 150 < 390 < found[1][0]


def test_a_page_without_places_has_none() -> None:
    (empty,) = pages_of(document([""]))
    assert rectangles(empty, "anything") == []


# -- real texts, set by a writer that knows where every character stands -------------------------


@pytest.mark.data
def test_passages_of_chunking_eval_are_located_where_they_were_set(
    data_folder: Path, tmp_path: Path
) -> None:
    located = total = 0
    for name, layout, pages, spans in _set_corpora(data_folder / "chunking_eval", tmp_path):
        for start, end, text in spans:
            for number in layout.pages_of(start, end):
                expected, part = _expected(layout, number, start, end, text)
                found = rectangles(pages[number - 1], part)
                total += 1
                located += _agree(found, expected)
        assert pages, name
    assert total > 700
    assert located / total >= 0.98, f"{located} of {total}"


def _set_corpora(
    folder: Path, tmp_path: Path
) -> Iterator[tuple[str, SetText, list[Page], list[tuple[int, int, str]]]]:
    (questions,) = folder.glob("*questions_df.csv")
    with questions.open(newline="", encoding="utf-8") as file:
        asked = list(csv.DictReader(file))
    for path in sorted(folder.glob("*.md")):
        text = path.read_bytes().decode("utf-8")
        name = path.stem.rpartition("corpora_")[2]
        layout = write_pdf(text, tmp_path / f"{name}.pdf")
        with open_document(tmp_path / f"{name}.pdf") as reader:
            pages = [page for page in reader.pages() if isinstance(page, Page)]
        spans = {
            (row["start_index"], row["end_index"], row["content"])
            for question in asked
            if question["corpus_id"] == name
            for row in json.loads(question["references"])
        }
        kept = [span for span in spans if text[span[0] : span[1]] == span[2]]
        yield name, layout, pages, kept


def _expected(
    layout: SetText, number: int, start: int, end: int, text: str
) -> tuple[list[Rectangle], str]:
    """The rectangles of the letters of a span on one page, and the part of it that is there."""
    width = SIZE * 0.6
    boxes: list[Rectangle] = []
    lines = layout.pages[number - 1]
    first_shown, last_shown = max(start, lines[0][0]), min(end, lines[-1][1])
    for row, (begin, stop) in enumerate(lines):
        part = text[max(0, begin - start) : max(0, stop - start)]
        inked = [at for at, sign in enumerate(part) if sign.isalnum()]
        if start >= stop or end <= begin or not inked:
            continue
        first = max(begin, start) - begin
        base = 792 - TOP + LEADING * row
        x0, x1 = LEFT + width * (first + inked[0]), LEFT + width * (first + inked[-1] + 1)
        boxes.append((x0, base - SIZE, x1, base + 2))
    return boxes, text[first_shown - start : last_shown - start]


def _agree(found: list[Rectangle], expected: list[Rectangle]) -> bool:
    """One rectangle on each line, its ends within a character or its sign."""
    if len(found) != len(expected):
        return False
    return all(
        abs(x0 - left) < 2 * SIZE and abs(x1 - right) < 2 * SIZE and y0 < (top + low) / 2 < y1
        for (x0, y0, x1, y1), (left, top, right, low) in zip(found, expected, strict=True)
    )
