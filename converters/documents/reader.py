"""What every reader of a kind of document is to its callers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from converters.documents.page import Page


@dataclass(frozen=True)
class LostPage:
    """A page that could not be read; the others can."""

    number: int


class DocumentReader(Protocol):
    """An open document; a context manager.

    page_count: None where only reading to the end tells it. is_repaired: its end was missing.
    replaced: characters and rows that could not be read so far, shown as U+FFFD or left out.
    """

    page_count: int | None
    is_repaired: bool

    @property
    def replaced(self) -> int:
        """See above."""
        ...

    def pages(self, first: int = 1) -> Iterator[Page | LostPage]:
        """Every page from number `first` on."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
