"""Small documents for the tests of ranking."""

from desktop.documents.postings import Postings
from desktop.documents.scope import Scope
from desktop.documents.tokens import PageText


def pages(*texts: str) -> list[PageText]:
    """Page texts numbered from 1."""
    return [PageText(number, text) for number, text in enumerate(texts, 1)]


def scope_of(*documents: tuple[str, ...]) -> Scope:
    """A scope of documents, each given by the texts of its pages."""
    return Scope.of([Postings.of_document(pages(*texts)) for texts in documents])
