"""A citation's rectangles are those of its quote: a real PDF, read, kept, searched and cited."""

import json
from pathlib import Path

import pytest

from converters.documents.kinds import open_document
from converters.documents.page import Page
from desktop.chat import passages
from desktop.chat.citations import CitationReader
from desktop.chat.evidence import Citation, checked, matched
from desktop.chat.passages import Passage, numbered
from desktop.documents.additions import Additions
from desktop.documents.document_pages import DocumentPages, Ending
from desktop.documents.found_files import FoundFile
from desktop.documents.library import Library
from desktop.documents.passages import ask
from tests.converters.documents.tiny_pdf import document, line


def test_words_that_fit_with_another_number_are_no_evidence() -> None:
    text = "Net revenue of Nike in 2021: 2 segments, note 3. It was 44.5 billion dollars in all."
    passage = Passage(n=1, file="a.pdf", path="/a.pdf", page=1, text=text)
    assert matched("The net revenue of Nike in 2021 was 2.3 billion dollars.", [passage]) == []
    (found,) = matched("The net revenue of Nike in 2021 was 44.5 billion dollars.", [passage])
    assert found.quote == "It was 44.5 billion dollars in all."
    assert matched("Net revenue of Nike was 44.5 billion in 2022.", [passage]) == []


LINES = (
    "The company sells lamps. Revenue grew to",
    "12.5 million in 2020, mostly from lamps.",
    "Staff costs were flat. Nine people left.",
    "Interest expense fell to 3 million.",
)
TOP, STEP = 700, 20


@pytest.fixture
def sent(tmp_path: Path) -> Passage:
    """The passage of a page with those lines, as a search finds it."""
    pdf = tmp_path / "lamps.pdf"
    texts = [line(72, TOP - STEP * at, text) for at, text in enumerate(LINES)]
    pdf.write_bytes(document(["".join(texts)]))
    (tmp_path / "library").mkdir()
    with Library(tmp_path / "library", may_write=True) as library, open_document(pdf) as reader:
        file = FoundFile(str(pdf).encode(), 1, 1)
        Additions(library).register([file])
        pages = DocumentPages(library, file, "0" * 64)
        for page in reader.pages():
            assert isinstance(page, Page)
            pages.add(page)
        pages.finish(Ending("text", "All pages have text.", 1))
        [found] = numbered(ask(library, "How large was the revenue?").passages)
    return found


def cited(passage: Passage, answer: str) -> Citation:
    reader = CitationReader([passage])
    reader.feed(answer)
    reader.finish()
    [citation] = checked(reader).citations
    return citation


def lines_of(citation: Citation) -> list[int]:
    """Which lines of the page the rectangles stand around, by their places."""
    return [round((842 - TOP - y1) / STEP) * -1 for _, _, _, y1 in citation.rects]


@pytest.mark.parametrize(
    ("answer", "lines"),
    [("Revenue grew to 12.5 million [1].", [0, 1]), ("Staff costs were flat [1].", [2]),
     ("Nine people left [1].", [2]), ("Interest expense fell [1].", [3]),
     ("It sells lamps, a company [1].", [0]), ("Staff costs were flat.", [2])],
)  # fmt: skip
def test_the_rectangles_are_those_of_the_lines_of_the_quote(
    sent: Passage, answer: str, lines: list[int]
):
    assert len(sent.rects) == len(sent.spans) == 4
    assert lines_of(cited(sent, answer)) == lines


def test_the_spans_are_the_lines_of_the_passage(sent: Passage):
    assert [sent.text[start:end].strip() for start, end in sent.spans] == list(LINES)


def test_a_statement_that_shares_no_word_has_the_whole_passage(sent: Passage):
    assert len(cited(sent, "Everything went well [1].").rects) == 4


def test_a_passage_of_an_older_conversation_keeps_all_of_its_rectangles(sent: Passage):
    rows = json.loads(passages.to_json([sent]))
    for row in rows:
        del row["spans"]
    [old] = passages.from_json(json.dumps(rows))
    assert old.spans == ()
    assert len(cited(old, "Interest expense fell [1].").rects) == 4
