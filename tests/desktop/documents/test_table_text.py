"""Rows of a ruled table are found in a library, and stand where they are printed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from converters.documents.page import Page
from desktop.documents import document_pages
from desktop.documents.backup import DATABASE
from desktop.documents.chunker import BELOW, chunk_spans
from desktop.documents.ingest import Request, add_documents
from desktop.documents.library import Library
from desktop.documents.passages import Passage, ask, whole_document
from desktop.documents.table_text import best_rows, own_text, with_rows
from tests.converters.documents.test_pdf import only_page
from tests.converters.documents.tiny_pdf import document, line

CELLS = [
    ["Corpus", "Training pairs", "Licence"],
    ["Europarl", "1,950,000", "free"],
    ["MultiUN", "9,700,000", "restricted"],
    ["Tanzil", "137,000", "free"],
]
LEFTS, TOPS = [60, 200, 320, 440], [700, 670, 640, 610, 580]
HEIGHT = 842
INTRODUCTION = "".join(
    line(60, 760 - 14 * n, f"Every corpus was split in the same way, as part {n} says.")
    for n in range(3)
)


def _table() -> str:
    rules = "".join(f"60 {y} m 440 {y} l S\n" for y in TOPS)
    rules += "".join(f"{x} 580 m {x} 700 l S\n" for x in LEFTS)
    return rules + INTRODUCTION + "".join(
        line(LEFTS[column] + 5, TOPS[row] - 20, text)
        for row, texts in enumerate(CELLS) for column, text in enumerate(texts)
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library of one PDF: three pages of text, one of which holds the ruled table."""
    other = "".join(line(60, 700 - 20 * n, f"Pairs for training number {n}") for n in range(12))
    file = tmp_path / "corpora.pdf"
    file.write_bytes(document([other, _table(), other]))
    add_documents(Request(tmp_path / "library", (file,)), lambda _: None, lambda: False)
    return tmp_path / "library"


def _best(folder: Path, question: str) -> Passage:
    with Library(folder) as library:
        return ask(library, question).passages[0]


def test_a_question_finds_the_row_with_its_headers(folder: Path):
    found = _best(folder, "What is the licence of MultiUN?")
    assert found.page == 2
    assert found.text == "Corpus: MultiUN; Training pairs: 9,700,000; Licence: restricted"


def test_its_rectangles_are_those_of_the_row_on_the_page(folder: Path):
    found = _best(folder, "What is the licence of MultiUN?")
    top, bottom = HEIGHT - TOPS[2], HEIGHT - TOPS[3]
    assert [round(rect[0]) for rect in found.rects] == pytest.approx([65, 205, 325], abs=2)
    assert all(top < rect[1] < rect[3] < bottom for rect in found.rects)


def test_rows_that_fit_alike_stand_together_and_others_are_left_out():
    text = f"own{BELOW}a: x; b: y\na: x; b: z\nc: q\n"
    assert chunk_spans(text) == [(0, 3), (4, len(text) - 1)]
    start, end = best_rows(text, (4, len(text) - 1), {"x"})
    assert text[start:end] == "a: x; b: y\na: x; b: z"
    start, end = best_rows(text, (4, len(text) - 1), {"q", "c"})
    assert text[start:end] == "c: q"


def test_the_own_text_of_a_page_keeps_its_places():
    page = only_page(_table())
    below = with_rows(page)
    assert own_text(below.text).rstrip("\n") == page.text.rstrip("\n")
    length = len(page.text) - 1
    assert np.array_equal(below.boxes[:length], page.boxes[:length], equal_nan=True)
    at = below.text.rindex("restricted")
    printed = page.text.index("restricted")
    assert np.array_equal(below.boxes[at : at + 10], page.boxes[printed : printed + 10])
    assert np.isnan(below.boxes[below.text.rindex("Licence")]).all()


def test_a_row_of_hidden_words_is_marked():
    page = only_page(_table())
    at = page.text.index("restricted")
    trap = Page(1, 612, 792, page.text, page.boxes, "text", 10, ((at, at + 10),),
                page.table_rows, page.row_places)  # fmt: skip
    below = with_rows(trap)
    assert [below.text[start:end] for start, end in below.hidden_spans] == ["restricted"] * 2


def test_a_page_without_named_columns_stays_as_it_is():
    page = only_page(INTRODUCTION)
    assert with_rows(page) is page


def test_a_whole_document_holds_what_is_printed_once(folder: Path):
    with Library(folder) as library:
        whole = whole_document(library, "", most_words=1000)
    assert sum(passage.text.count("Europarl") for passage in whole.passages) == 1


def test_r13_a_library_made_before_has_its_tables_read_at_the_next_addition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    papers, folder = tmp_path / "papers", tmp_path / "library"
    papers.mkdir()
    (papers / "corpora.pdf").write_bytes(document([_table()]))
    (papers / "plain.pdf").write_bytes(document([INTRODUCTION]))
    _add_as_version_1(folder, papers, monkeypatch)
    question = "What is the licence of MultiUN?"
    # A reader brings it up to date: what was there can be searched, the rows can not yet.
    assert "Corpus: " not in _best(folder, question).text
    assert (folder / "before-version-2.sqlite").is_file()
    added = add_documents(Request(folder, (papers,)), lambda _: None, lambda: False)
    assert (added.indexed, added.unchanged, added.pages) == (1, 1, 2)
    assert _best(folder, question).text.startswith("Corpus: MultiUN; ")
    again = add_documents(Request(folder, (papers,)), lambda _: None, lambda: False)
    assert (again.indexed, again.unchanged) == (0, 2)


def _add_as_version_1(folder: Path, papers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages as the first version stored them, in its tables."""
    with monkeypatch.context() as patch:
        patch.setattr(document_pages, "with_rows", lambda page: page)
        add_documents(Request(folder, (papers,)), lambda _: None, lambda: False)
    with closing(sqlite3.connect(folder / DATABASE)) as base:
        base.executescript(
            "ALTER TABLE documents DROP COLUMN reader; UPDATE files SET reader = 1;"
            "PRAGMA user_version = 1;"
        )
