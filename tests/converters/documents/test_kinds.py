"""Which reader a file gets: by content, then by name; what is not read is named."""

from pathlib import Path

import pytest

from converters.documents.kinds import kind_of, open_document
from converters.documents.page import DocumentRefused
from converters.errors import UserError
from tests.converters.documents.tiny_pdf import document, line


@pytest.mark.parametrize(
    ("start", "name", "kind"),
    [
        (b"%PDF-1.7", "report.pdf", "pdf"),
        (b"\n\n%PDF-1.4", "named.txt", "pdf"),
        (b"garbage", "broken.pdf", "pdf"),
        (b"# Title", "README.md", "markdown"),
        (b"a,b", "table.CSV", "csv"),
        (b"a\tb", "table.tsv", "csv"),
        (b"words", "notes.txt", "text"),
        (b"words", "LICENSE", "text"),
        (b"\xff\xfea\x00b\x00", "utf16.txt", "text"),
        (b"a\x00b\x00", "unmarked16.txt", "text"),
    ],
)
def test_kinds(start: bytes, name: str, kind: str) -> None:
    assert kind_of(start, name) == kind


@pytest.mark.parametrize(
    ("start", "name", "said"),
    [
        (b"PK\x03\x04", "a.docx", "a.docx is a Word document."),
        (b"PK\x03\x04", "a.epub", "a.epub is an EPUB book."),
        (b"PK\x03\x04", "a.zip", "a.zip is a ZIP archive or an office file."),
        (b"\xd0\xcf\x11\xe0", "a.xls", "a.xls is an old Excel workbook."),
        (b"<!DOCTYPE html>", "page", "page is a web page."),
        (b"\x89PNG\r\n", "scan.png", "scan.png is a picture."),
        (b"\x7fELF\x00\x00", "program", "program is no text."),
    ],
)
def test_other_kinds_are_named_with_what_is_read(start: bytes, name: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        kind_of(start, name)
    assert caught.value.title == "This kind of document is not read yet."
    assert caught.value.detail.startswith(said)
    assert "PDF, text, Markdown and CSV" in caught.value.detail


def test_a_pdf_opens_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "odd \u202e name\n.txt"
    path.write_bytes(document([line(72, 700, "content")]))
    with open_document(path) as reader:
        assert [getattr(page, "text", None) for page in reader.pages()] == ["content\n"]


@pytest.mark.parametrize("name", ["a.pdf", "a.txt", "a.csv"])
def test_f27_malformed_empty_file_is_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(DocumentRefused) as caught, open_document(path):
        pass
    assert (caught.value.kind, caught.value.title) == ("damaged", "The file is empty.")


def test_folders_and_missing_files_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"), open_document(tmp_path):
        pass
    with pytest.raises(UserError, match="not found"), open_document(tmp_path / "none.pdf"):
        pass
