"""Which reader a file needs, by what it holds first and by its name second, and the reader itself.

PDF, text, Markdown and CSV today. Office files, EPUB, HTML and pictures (OCR) get a reader each
here later; until then they are named, not guessed at.
"""

import mmap
from collections.abc import Buffer, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from converters.documents.csv import CsvReader
from converters.documents.markdown import MarkdownReader
from converters.documents.page import DocumentRefused
from converters.documents.reader import DocumentReader
from converters.documents.text import TextReader
from converters.errors import UserError
from converters.text_encoding import detect_encoding

Kind = Literal["pdf", "text", "markdown", "csv"]

_SNIFFED_BYTES = 4096
_MARKDOWN, _CSV = (".md", ".markdown", ".mdown"), (".csv", ".tsv")
_LATER = {
    ".docx": "a Word document", ".xlsx": "an Excel workbook", ".pptx": "a PowerPoint file",
    ".odt": "an OpenDocument text", ".ods": "an OpenDocument table",
    ".odp": "an OpenDocument presentation", ".epub": "an EPUB book", ".doc": "an old Word document",
    ".xls": "an old Excel workbook", ".ppt": "an old PowerPoint file", ".html": "a web page",
    ".htm": "a web page", ".rtf": "an RTF document",
}  # fmt: skip
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive or an office file"),
    (b"\xd0\xcf\x11\xe0", "an old office file"),
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\x00", "a picture"),
    (b"MM\x00*", "a picture"),
    (b"\x1f\x8b", "a compressed file"),
)
_HTML = (b"<!doctype html", b"<html")


def kind_of(start: bytes, name: str) -> Kind:
    """The kind of a file that begins with `start`. Raises UserError for one that is not read."""
    suffix = Path(name).suffix.lower()
    if b"%PDF-" in start[:1024]:
        return "pdf"
    if other := _other_kind(start, suffix):
        raise _not_read(name, other)
    if suffix == ".pdf":
        return "pdf"  # damaged, as its reader will say
    if suffix in _MARKDOWN:
        return "markdown"
    return "csv" if suffix in _CSV else "text"


def sniffed(file: BinaryIO, name: str) -> Kind:
    """`kind_of` an open file, which is left at its beginning."""
    start = file.read(_SNIFFED_BYTES)
    file.seek(0)
    return kind_of(start, name)


def opened(path: Path) -> BinaryIO:
    """The file, for reading only. Raises UserError."""
    hint = "Check the path and that you may read the file."
    if path.is_dir():
        raise UserError("The document is a folder.", f"{path} is a folder, not a file.", hint)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UserError("The document was not found.", f"There is no file {path}.", hint) from None
    except OSError as error:
        detail = f"{path}: {error.strerror}."
        raise UserError("The document could not be opened.", detail, hint) from error


def reader_of(kind: Kind, data: Buffer, password: str | None = None) -> DocumentReader:
    """The reader of `data`. Raises DocumentRefused: encrypted, damaged."""
    if not memoryview(data).nbytes:
        raise DocumentRefused("The file is empty.", "It has 0 bytes.", "Get the file anew.")
    match kind:
        case "pdf":
            from converters.documents.pdf import PdfReader  # PDFium is only loaded in a child

            return PdfReader(data, password)
        case "markdown":
            return MarkdownReader(data)
        case "csv":
            return CsvReader(data)
        case _:
            return TextReader(data)


@contextmanager
def open_document(path: Path, password: str | None = None) -> Iterator[DocumentReader]:
    """The reader of a file *in this process*: for trusted files; else see `DocumentChild`.

    Raises UserError: not found, a kind that is not read; DocumentRefused: encrypted, damaged.
    """
    with opened(path) as file:
        kind, data = sniffed(file, path.name), mapped(file)
    with reader_of(kind, data, password) as reader:
        yield reader


def mapped(file: BinaryIO | int) -> mmap.mmap | bytes:
    """The bytes of an open file, mapped for reading; an empty one cannot be mapped."""
    number = file if isinstance(file, int) else file.fileno()
    try:
        return mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    except ValueError:
        return b""


def _other_kind(start: bytes, suffix: str) -> str | None:
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return _LATER.get(suffix, name)
    if start.lstrip()[:64].lower().startswith(_HTML):
        return "a web page"
    if suffix in _LATER:
        return _LATER[suffix]
    is_plain = detect_encoding(start[:4])[0] == "utf-8"
    return "no text" if is_plain and b"\x00" in start and suffix != ".pdf" else None


def _not_read(name: str, kind: str) -> UserError:
    return UserError(
        "This kind of document is not read yet.",
        f"{name} is {kind}. PDF, text, Markdown and CSV files are read; office files, EPUB, web "
        "pages and pictures come later.",
        "Save it as a PDF and add that.",
    )
