"""Libraries with a few pages in them, made without reading any file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converters.documents.page import Page, without_places
from desktop.documents.additions import Additions
from desktop.documents.document_pages import DocumentPages, Ending
from desktop.documents.found_files import FoundFile
from desktop.documents.library import Library


def placed_page(number: int, text: str) -> Page:
    """A page whose characters stand on a grid of 6 by 12 points, a line below the other."""
    boxes = without_places(len(text))
    row = column = 0
    for at, character in enumerate(text):
        if character == "\n":
            row, column = row + 1, 0
            continue
        boxes[at] = [6 * column, 12 * row, 6 * column + 6, 12 * row + 10]
        column += 1
    verdict = "text" if text.strip() else "empty"
    return Page(number, 612, 792, text, boxes.astype(np.float32), verdict)


def add(library: Library, name: str, texts: Sequence[str], *, batch: int = 100) -> int:
    """A whole document with these page texts; its row. The same texts are the same content.

    name: of a file in /papers, or its whole path.
    """
    file = FoundFile(bytes(Path("/papers", name)), len(texts), 1)
    additions, sha256 = Additions(library), hashlib.sha256("\f".join(texts).encode()).hexdigest()
    additions.register([file])
    if additions.has_content(sha256):
        additions.settle(file, "indexed", sha256=sha256)
    else:
        pages = DocumentPages(library, file, sha256)
        for number, text in enumerate(texts, 1):
            pages.add(placed_page(number, text))
            if number % batch == 0:
                pages.store(len(texts))
        pages.finish(Ending("text", "All pages have text.", len(texts)))
    return library.connection.execute(
        "SELECT d.id FROM documents d JOIN files f USING (sha256) WHERE f.path = ?", (file.key,)
    ).fetchone()[0]


def library(folder: Path, **documents: Sequence[str]) -> Path:
    """A library folder with documents by name (`a` is a.pdf)."""
    folder.mkdir(exist_ok=True)
    with Library(folder, may_write=True) as made:
        for name, texts in documents.items():
            add(made, f"{name}.pdf", texts)
    return folder
