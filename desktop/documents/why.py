"""Why a page was found, in the words of the question and of the packs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from desktop.documents.entries import Ints
from desktop.documents.ranking import Question, Ranking
from desktop.documents.rows import PhraseMatch
from desktop.documents.words import stem

By = Literal["words", "meaning", "both"]


@dataclass(frozen=True)
class Why:
    """words: of the question, on the page. rows: runs of the question's words in one line.

    pack: phrases that a pack added, in one line. by: what found the page.
    """

    words: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    pack: tuple[str, ...] = ()
    by: By = "words"

    def __str__(self) -> str:
        """One short line, e.g. "words: interest, expense; in one row: interest expense"."""
        parts = (("words", self.words), ("in one row", self.rows), ("from a pack", self.pack))
        told = [f"{label}: {', '.join(found)}" for label, found in parts if found]
        if self.by != "words":
            told.append("close in meaning")
        # The recipe gives a page a tenth of its neighbours: a table goes on overleaf.
        return "; ".join(told) or "next to a page that fits"


def why(ranking: Ranking, question: Question, page: int, by: By = "words") -> Why:
    """What speaks for the page with that index in the scope; the longest phrases only."""
    written = {stem(word): word for word in reversed(question.query.words)}
    texts = {phrase.stems: phrase.text for phrase in question.expansion.phrases}
    holds = _held_words(ranking, page)
    rows = _longest([match.phrase for match in _on(ranking.question_rows, page)])
    return Why(
        words=tuple(w for w in question.query.telling if holds(stem(w))),
        rows=tuple(" ".join(written[part] for part in phrase) for phrase in rows),
        pack=tuple(texts[match.phrase] for match in _on(ranking.pack_rows, page)),
        by=by,
    )


def _held_words(ranking: Ranking, page: int) -> Callable[[str], bool]:
    """Whether a stem stands on the page."""
    scope = ranking.scope
    # Only the page's own document is looked through: a pool holds dozens.
    first, units, ids = scope.chunks.parts[int(scope.document[page])]
    start, end = scope.chunks.page.searchsorted([page, page + 1]) - first

    @cache
    def holds(term: str) -> bool:
        number = ids.get(term)
        if number is None:
            return False
        owners, _ = units.entries.of(number)
        at = int(owners.searchsorted(start))
        return at < len(owners) and bool(owners[at] < end)

    return holds


def _on(matches: Sequence[PhraseMatch], page: int) -> list[PhraseMatch]:
    return [match for match in matches if _holds(match.pages, page)]


def _holds(pages: Ints, page: int) -> bool:
    at = int(pages.searchsorted(page))
    return at < len(pages) and int(pages[at]) == page


def _longest(phrases: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Those that are not a part of another one."""
    sets = [frozenset(phrase) for phrase in phrases]
    return [phrase for phrase, own in zip(phrases, sets, strict=True)
            if not any(own < other for other in sets)]  # fmt: skip
