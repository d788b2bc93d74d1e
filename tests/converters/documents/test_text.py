"""Text and Markdown files as pages, whatever their encoding and line ends."""

import codecs

import numpy as np
import pytest

from converters.documents.markdown import MarkdownReader
from converters.documents.text import PAGE_CHARACTERS, TextReader


def texts(data: bytes, reader: type[TextReader] = TextReader) -> list[str]:
    with reader(data) as opened:
        return [page.text for page in opened.pages()]


def test_a_page_has_no_places() -> None:
    with TextReader(b"Hello\nworld") as reader:
        (page,) = reader.pages()
    assert (page.number, page.text, page.verdict) == (1, "Hello\nworld\n", "text")
    assert page.boxes.shape == (12, 4)
    assert np.isnan(page.boxes).all()


@pytest.mark.parametrize(
    "data",
    [
        "Grüße, 漢字 🎉\nzwei".encode(),
        codecs.BOM_UTF8 + "Grüße, 漢字 🎉\nzwei".encode(),
        codecs.BOM_UTF16_LE + "Grüße, 漢字 🎉\nzwei".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "Grüße, 漢字 🎉\r\nzwei".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "Grüße, 漢字 🎉\rzwei".encode("utf-32-le"),
        "Grüße, 漢字 🎉\nzwei".encode("utf-16-le"),
    ],
)
def test_every_unicode_encoding_is_read(data: bytes) -> None:
    assert texts(data) == ["Grüße, 漢字 🎉\nzwei\n"]


def test_a_windows_file_is_read() -> None:
    assert texts("Größe – 5 €".encode("cp1252")) == ["Größe – 5 €\n"]


def test_what_is_no_text_is_replaced_and_counted() -> None:
    data = codecs.BOM_UTF8 + b"a good line\nand a b\x00d one" + b"\xff" * 2
    with TextReader(data) as reader:
        (page,) = reader.pages()
        assert reader.replaced == 1 + page.text.count("\ufffd") - 1
    assert page.text.startswith("a good line\nand a b\ufffdd one")


def test_a_form_feed_ends_a_page() -> None:
    assert texts(b"one\n\ftwo\fthree\n") == ["one\n", "two\n", "three\n"]


def test_pages_end_between_paragraphs_and_lose_nothing() -> None:
    paragraphs = [f"Paragraph {n}. " + "Some words go on here. " * 20 + "\n\n" for n in range(40)]
    data = "".join(paragraphs)
    pages = texts(data.encode())
    assert "".join(pages) == data
    assert all(page.startswith("Paragraph") for page in pages)
    assert max(map(len, pages)) < PAGE_CHARACTERS + 600
    assert pages == texts(data.encode())


def test_a_pair_of_line_ends_cut_by_a_piece_is_one_line_end() -> None:
    data = b"x" * 99 + b"\r\n"
    pages = texts(data * 10_000)
    assert "".join(pages) == ("x" * 99 + "\n") * 10_000


def test_one_endless_line_is_cut_into_pages() -> None:
    pages = texts(b"word " * 200_000)
    assert "".join(pages).replace("\n", "") == "word " * 200_000
    assert max(map(len, pages)) <= 20_001


def test_pages_can_begin_in_the_middle() -> None:
    with TextReader(b"one\ftwo\fthree") as reader:
        assert [(page.number, page.text) for page in reader.pages(first=3)] == [(3, "three\n")]


def test_markdown_pages_begin_with_headings_but_not_inside_code() -> None:
    section = "# Heading\n\n" + "Words of the section. " * 60 + "\n"
    code = "```\n" + "x = 1\n" * 250 + "# a comment\n" + "x = 2\n" * 10 + "```\n"
    pages = texts((section * 3 + code + section).encode(), MarkdownReader)
    assert "".join(pages) == section * 3 + code + section
    assert [page.startswith("# Heading") for page in pages] == [True] * len(pages)
