"""The four sides of bench_retrieval: plain FTS5 over pages and over chunks, our recipe without and
with packs. Each turns a sample into (file, page) pairs, best first.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from desktop.documents.chunker import chunks_of
from desktop.documents.packs import Pack
from desktop.documents.postings import Postings
from desktop.documents.search import Found, rank_collection, rank_document
from desktop.documents.tokens import PageText
from desktop.documents.words import words
from tests.benchmarks.retrieval_sets import QuestionSet, Sample
from tests.desktop.documents.fts_documents import FtsDocuments, FtsTable

CUTS = (1, 5, 10)
Files = Mapping[str, Sequence[PageText]]
Places = list[tuple[str, int]]
Search = Callable[[Sample], Places]
Split = Callable[[PageText], list[str]]


@dataclass(frozen=True)
class Side:
    """hits: (samples, 3) bool, a right page among the first 1, 5, 10. cpu_ms: of a question."""

    name: str
    hits: NDArray[np.bool_]
    cpu_ms: float


def in_document(one: QuestionSet, packs: Sequence[Pack]) -> list[Side]:
    """Every side sees only the file of the sample, with that file's own statistics."""
    postings = {name: Postings.of_document(pages) for name, pages in one.files.items()}

    def ours(active: Sequence[Pack]) -> Search:
        return lambda s: _named(
            rank_document(s.question, postings[s.file], active).found(), [s.file]
        )  # fmt: skip

    with ExitStack() as stack:
        plain: dict[str, tuple[Search, Search]] = {
            name: (
                stack.enter_context(_plain({name: pages}, _whole)),
                stack.enter_context(_plain({name: pages}, _chunks)),
            )
            for name, pages in one.files.items()
        }
        return _measured(one, (
            lambda s: plain[s.file][0](s), lambda s: plain[s.file][1](s), ours(()), ours(packs)
        ))  # fmt: skip


def over_files(one: QuestionSet, files: Files, packs: Sequence[Pack]) -> list[Side]:
    """Every side searches all of `files`."""
    with (
        FtsDocuments(files) as documents,
        _plain(files, _whole) as pages,
        _plain(files, _chunks) as chunks,
    ):

        def ours(active: Sequence[Pack]) -> Search:
            return lambda s: _named(
                rank_collection(s.question, documents, active).found(), documents.names
            )

        return _measured(one, (pages, chunks, ours(()), ours(packs)))


@contextmanager
def _plain(files: Files, split: Split) -> Iterator[Search]:
    names = list(files)
    table = FtsTable(
        (document, page.number, text)
        for document, pages in enumerate(files.values())
        for page in pages
        for text in split(page)
    )

    def search(sample: Sample) -> Places:
        # A page has several chunks: fifty rows hold ten pages.
        rows = table.best(words(sample.question), 50)
        return list(dict.fromkeys((names[document], page) for document, page in rows))

    yield search
    table.close()


def _whole(page: PageText) -> list[str]:
    return [page.text]


def _chunks(page: PageText) -> list[str]:
    return [chunk.text for chunk in chunks_of(page.number, page.text)]


def _named(found: Found, names: Sequence[str]) -> Places:
    return [(names[hit.document], hit.page) for hit in found.hits]


def _measured(one: QuestionSet, searches: Sequence[Search]) -> list[Side]:
    """The four sides in turn for each sample, so that a busy machine is equally unfair to all."""
    names = ("FTS5, whole pages", "FTS5, chunks", "recipe without packs", "recipe with packs")
    hits = np.zeros((len(searches), len(one.samples), len(CUTS)), bool)
    seconds = np.zeros(len(searches))
    for at, sample in enumerate(one.samples):
        right = {(sample.file, page) for page in sample.pages}
        for side, search in enumerate(searches):
            start = time.process_time()
            places = search(sample)
            seconds[side] += time.process_time() - start
            hits[side, at] = [not right.isdisjoint(places[:cut]) for cut in CUTS]
    per_question = 1e3 * seconds / len(one.samples)
    return [Side(*each) for each in zip(names, hits, per_question.tolist(), strict=True)]
