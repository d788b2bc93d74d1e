"""A question put to a library: the best passages with file, page, places, score and why.

Which documents were searched is part of every answer, and so is how much of them is indexed.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from converters.documents.page import Page
from converters.documents.rectangles import Rectangle, placed_rectangles
from converters.errors import UserError
from desktop.documents.chunker import chunk_spans, join_lines
from desktop.documents.file_names import shown_path
from desktop.documents.letters import LETTERS, is_too_short, odd_words
from desktop.documents.library import Library, PageGone
from desktop.documents.lookup import FileName, LibraryDocuments, PostingsCache, Searchable
from desktop.documents.packs import Pack
from desktop.documents.query import Query
from desktop.documents.search import Hit, Ranked, rank_collection, rank_document
from desktop.documents.table_text import best_rows, is_of_rows, own_text
from desktop.documents.why import By, Why

_LISTED = 10


@dataclass(frozen=True)
class Passage:
    """A piece of a page. rects: x0, y0, x1, y1 in points from the top left corner, one a line.

    has_hidden: some of it is not seen by a reader of the page. why: one short line. spans: what of
    `text` each rectangle stands around.
    """

    file: str
    path: str
    page: int
    text: str
    rects: tuple[Rectangle, ...]
    score: float
    by: By
    why: str
    has_hidden: bool
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Answer:
    """passages: best first. searched: names of the documents that were looked into, best first.

    pages_indexed of pages: less while documents are being read. Of `meaning.ask_with_meaning`
    words_alone says why meaning was not looked at, not_kept why its new vectors are not stored.
    considered: documents that were weighed; those of them that fit best were looked into.
    nothing: why, where nothing was found. looked_through: then all of them were, to no avail; and
    unread files may hold it.
    """

    passages: tuple[Passage, ...]
    searched: tuple[str, ...]
    pages_indexed: int
    pages: int
    words_alone: str = ""
    not_kept: str = ""
    considered: int = 0
    nothing: str = ""
    looked_through: bool = False
    unread: int = 0


@dataclass(frozen=True)
class Looked:
    """Pages ranked by words. documents: those that were ranked, numbered as in `ranked`."""

    ranked: Ranked
    documents: tuple[Searchable, ...]
    store: LibraryDocuments
    is_pinned: bool = False


def ask(
    library: Library, question: str, packs: Sequence[Pack] = (), k: int = 10, file: str = "",
    cache: PostingsCache | None = None,
) -> Answer:
    """The k best passages. file: search only this document, by its name or a part of it.

    Raises UserError if `file` names none or several, LibraryDamaged.
    """
    return answer_of(library, look(library, question, packs, file, cache), question, k)


def look(
    library: Library, question: str, packs: Sequence[Pack] = (), file: str = "",
    cache: PostingsCache | None = None,
) -> Looked:
    """The first half of `ask`: the pages ranked by words."""
    store = LibraryDocuments(library, cache or PostingsCache())
    if not file:
        return Looked(rank_collection(question, store, packs), tuple(store.all), store)
    pinned = _pinned(store, file)
    ranked = rank_document(question, store.postings(pinned.place), packs)
    return Looked(ranked, (_under(store, pinned),), store, is_pinned=True)


def answer_of(library: Library, looked: Looked, question: str, k: int = 10) -> Answer:
    """The second half: the best passages of the ranking, cut out of their pages."""
    documents, everything = looked.documents, looked.store.all
    found, asked = looked.ranked.found(k), looked.ranked.question
    terms = (*asked.query.terms, *asked.expansion.terms)
    passages: list[Passage] = []
    for hit in found.hits:
        with suppress(PageGone):  # removed, or read anew, since it was ranked
            passages.append(_passage(library, documents[hit.document], hit, terms))
    if not passages:
        passages = _by_letters(library, looked, question, k)
    # A hit whose page is gone is no sign that its words are nowhere.
    is_absent = not passages and not found.hits
    return Answer(
        tuple(passages), tuple(documents[at].name for at in found.searched),
        sum(document.pages for document in everything),
        sum(max(document.pages, document.page_count or 0) for document in everything),
        considered=len(documents),
        nothing="" if passages else _why_nothing(asked.query, len(documents), is_absent),
        looked_through=is_absent,
        unread=library.waiting() if is_absent and not looked.is_pinned else 0,
    )  # fmt: skip


def _why_nothing(query: Query, documents: int, is_absent: bool) -> str:
    if not documents:
        return "The library holds no document with text."
    if not is_absent:
        return "The library changed meanwhile; search again."
    if not query.telling:
        return "The question holds no word to look for."
    looked_for = dict.fromkeys(query.telling)
    if any(map(is_too_short, looked_for)):
        return f"Fewer than {LETTERS} characters of a script without spaces are not looked for."
    where = "it" if documents == 1 else "them"
    return f"No word of the question is in {where}: {_listed(list(looked_for))}"


@dataclass(frozen=True)
class WholeText:
    """name: "" if there are several documents. passages: all of it in order, () if it is not whole
    yet or too long. pages_without_text: of which nothing can be in it."""

    name: str
    passages: tuple[Passage, ...] = ()
    pages_without_text: int = 0
    is_too_long: bool = False


def whole_document(library: Library, file: str, most_words: int) -> WholeText:
    """The one document that `file` names, or for "" the only one there is.

    Of one with more words no page is read: a report of a thousand pages would take seconds. Raises
    UserError if `file` names none or several, LibraryDamaged.
    """
    store = LibraryDocuments(library, PostingsCache())
    if not file and len(store.all) != 1:
        return WholeText("")
    document = _under(store, _pinned(store, file)) if file else store.all[0]
    if document.whole_size > most_words:
        return WholeText(document.name, is_too_long=True)
    if document.pages < (document.page_count or 0):
        return WholeText(document.name)
    pages = (library.page(document.id, number) for number in library.page_numbers(document.id))
    passages = tuple(
        _cut_out(document, page, span, 0.0, "the whole document")
        for page in pages for span in _side_by_side(chunk_spans(own_text(page.text)))
    )  # fmt: skip
    return WholeText(document.name, passages, document.pages - document.text_pages)


def _side_by_side(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans without what they share with the one before."""
    ends = [0, *(end for _, end in spans)]
    return [(max(start, before), end) for (start, end), before in zip(spans, ends, strict=False)]


def _under(store: LibraryDocuments, pinned: FileName) -> Searchable:
    """A document under the one of its names that was asked for."""
    return replace(store.all[pinned.place], name=pinned.name, path=pinned.path)


def _pinned(store: LibraryDocuments, file: str) -> FileName:
    """The one document that `file` names: its whole name first, a part of it, a part of a path.

    Copies of one document are one, under whichever of their names fits: its usual one, if it does.
    """
    wanted, names = file.casefold(), store.file_names()
    tests = (
        lambda one: shown_path(one.path).casefold() == wanted,
        lambda one: one.name.casefold() == wanted,
        lambda one: wanted in one.name.casefold(),
        lambda one: wanted in shown_path(one.path).casefold(),
    )
    for fits in tests:
        found: dict[int, FileName] = {}
        for one in filter(fits, names):
            if one.place not in found or one.path == store.all[one.place].path:
                found[one.place] = one
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UserError(
                f'"{file}" names {len(found)} documents.',
                _listed([shown_path(one.path) for one in found.values()]),
                "Name one of them, with its folder if need be.",
            )
    names = [document.name for document in store.all]
    raise UserError(
        f'The library has no document "{file}".',
        f"It holds {_listed(names)}" if names else "It holds no document with text.",
        "`tunedesk library list --library NAME` shows all of them.",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more + "."


def _passage(
    library: Library, document: Searchable, hit: Hit, terms: Collection[str]
) -> Passage:
    """Of table rows only those that hold most of the question."""
    page, span = library.page(document.id, hit.page), (hit.start, hit.end)
    if is_of_rows(page.text, hit.start):
        span = best_rows(page.text, span, terms)
    return _cut_out(document, page, span, hit.score, hit.why)


def _cut_out(
    document: Searchable, page: Page, span: tuple[int, int], score: float, why: Why | str
) -> Passage:
    start, end = span
    cut = page.text[start:end]
    text = join_lines(cut).strip()
    first = start + len(cut) - len(cut.lstrip())
    placed = placed_rectangles(page, first, first + len(text))
    return Passage(
        file=document.name,
        path=shown_path(document.path),
        page=page.number,
        text=text,
        rects=tuple(_rounded(rectangle) for rectangle, _ in placed),
        score=round(score, 4),
        by=why.by if isinstance(why, Why) else "words",
        why=str(why),
        has_hidden=any(a < end and start < b for a, b in page.hidden_spans),
        spans=tuple((begin - first, stop - first) for _, (begin, stop) in placed),
    )


def _rounded(rectangle: Rectangle) -> Rectangle:
    """To a tenth of a point, which is what the library keeps."""
    x0, y0, x1, y1 = rectangle
    return round(x0, 1), round(y0, 1), round(x1, 1), round(y1, 1)


def _by_letters(library: Library, looked: Looked, question: str, k: int) -> list[Passage]:
    """Where no word is found: pages with the question's codes, or its words without spaces."""
    inside = {document.id: document for document in looked.documents}
    wanted = [word.casefold() for word in odd_words(question)]
    found: list[Passage] = []
    only = looked.documents[0].id if looked.is_pinned else None
    for place, (number, document) in enumerate(looked.store.by_letters(question, 20 * k, only)):
        if document in inside and len(found) < k:
            page = library.page(document, number)
            span = _best_span(page.text, wanted)
            score = 1 / (1 + place)
            found.append(_cut_out(inside[document], page, span, score, "letters of the question"))
    return found


def _best_span(text: str, wanted: Sequence[str]) -> tuple[int, int]:
    """The chunk that shares most runs of three letters with the question."""
    runs = {word[at : at + 3] for word in wanted for at in range(max(1, len(word) - 2))}

    def shared(span: tuple[int, int]) -> int:
        piece = text[span[0] : span[1]].casefold()
        return sum(run in piece for run in runs)

    return max(chunk_spans(text), key=shared)
