"""How the reading of one document ended, in one word, in figures and in a sentence."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from converters.documents.page import DocumentRefused, Page, Verdict

Kind = Literal["text", "partly text", "no text", "encrypted", "damaged", "too expensive"]
Loss = Literal["damaged", "too expensive"]

_LOSSES: tuple[Loss, ...] = ("damaged", "too expensive")
_LISTED = 8  # groups of page numbers in a sentence


@dataclass(frozen=True)
class Outcome:
    """kind, and a sentence that says it to a person with its numbers.

    pages: of the document, as far as known. verdicts: how many pages are what. lost: pages that
    could not be read. hidden: characters that a reader does not see. replaced: characters and
    records that could not be read. is_repaired: the file was cut off. has_changed: the file was
    written to meanwhile. cpu_s: what it cost. bug: our own failure's traceback, "" without.
    """

    kind: Kind
    sentence: str
    pages: int
    verdicts: dict[Verdict, int]
    lost: tuple[int, ...]
    hidden: int
    replaced: int
    is_repaired: bool
    has_changed: bool
    cpu_s: float
    bug: str


@dataclass
class Tally:
    """What is known of a document while it is read."""

    page_count: int | None = None
    is_repaired: bool = False
    has_changed: bool = False
    replaced: int = 0
    hidden: int = 0
    hidden_pages: int = 0
    cpu_s: float = 0.0
    bug: str = ""
    numbers: dict[Verdict, list[int]] = field(default_factory=dict)
    lost: dict[int, Loss] = field(default_factory=dict)
    why: dict[Loss, str] = field(default_factory=dict)
    refused: DocumentRefused | None = None

    @property
    def read(self) -> int:
        """How many pages were read so far."""
        return sum(map(len, self.numbers.values()))

    @property
    def last(self) -> int:
        """The number of the last page that was read, 0 before the first."""
        return max(map(max, filter(None, self.numbers.values())), default=0)

    def take(self, page: Page) -> None:
        """Count a page that was read."""
        self.numbers.setdefault(page.verdict, []).append(page.number)
        self.hidden += page.hidden
        self.hidden_pages += page.hidden > 0

    def outcome(self) -> Outcome:
        """The outcome of what was counted."""
        verdicts: dict[Verdict, int] = {name: len(of) for name, of in self.numbers.items()}
        read = self.read
        pages = max(self.page_count or 0, read + len(self.lost))
        return Outcome(
            kind=self._kind(verdicts, read, pages),
            sentence=" ".join(self._sentences(verdicts, read, pages)),
            pages=pages,
            verdicts=verdicts,
            lost=tuple(sorted(self.lost)),
            hidden=self.hidden,
            replaced=self.replaced,
            is_repaired=self.is_repaired,
            has_changed=self.has_changed,
            cpu_s=self.cpu_s,
            bug=self.bug,
        )

    def _kind(self, verdicts: dict[Verdict, int], read: int, pages: int) -> Kind:
        text, empty = verdicts.get("text", 0), verdicts.get("empty", 0)
        if not read and self.refused is not None:
            return self.refused.kind
        if not text and self.lost:
            return "too expensive" if "too expensive" in self.lost.values() else "damaged"
        if not text:
            return "no text" if read else "damaged"
        return "text" if text + empty == pages else "partly text"

    def _sentences(self, verdicts: dict[Verdict, int], read: int, pages: int) -> Iterable[str]:
        if self.refused is not None:
            yield str(self.refused)
        if not pages and self.refused is None:
            yield "The document has no pages."
        if read and verdicts.get("text", 0) == pages:
            yield f"{_all(pages)} text."
        elif read:
            yield f"Text on {verdicts.get('text', 0)} of {_counted(pages)}."
        if scans := self.numbers.get("scan"):
            yield f"No text on {_of(scans, pages)}: pictures, whose text (OCR) is not read yet."
        if garbled := self.numbers.get("garbled"):
            yield f"Unreadable characters on {_of(garbled, pages)}: the fonts do not name them."
        for loss in _LOSSES:
            if numbers := [number for number, why in self.lost.items() if why == loss]:
                is_are = "is" if len(numbers) == 1 else "are"
                yield f"{_of(numbers, pages)} {is_are} {loss}. {self.why.get(loss, '')}".strip()
        if self.hidden:
            where = _counted(self.hidden_pages)
            many = "1 character" if self.hidden == 1 else f"{self.hidden:,} characters"
            is_are = "is" if self.hidden == 1 else "are"
            yield f"{many} on {where} {is_are} hidden from readers."
        if self.replaced:
            yield f"{self.replaced} characters or records could not be read."
        if self.is_repaired:
            yield "The file is cut off; what is left of it was read."
        if self.has_changed:
            yield "The file was changed while it was read; read it again."
        if self.bug:
            yield "The program failed on it; the log has the details."


def _all(pages: int) -> str:
    return "The only page has" if pages == 1 else f"All {pages:,} pages have"


def _counted(pages: int) -> str:
    return "1 page" if pages == 1 else f"{pages:,} pages"


def _of(numbers: list[int], pages: int) -> str:
    """`3 of 12 pages (2, 5-6)`."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    ]
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    more = ", ..." if len(names) > _LISTED else ""
    return f"{len(numbers):,} of {_counted(pages)} ({', '.join(names[:_LISTED])}{more})"

