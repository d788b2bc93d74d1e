"""The semantic slot beside the recipe by words alone, question by question, with a real embedder.

    python -m tests.benchmarks.bench_meaning

Both sides use packs. Prints hit@1, @5 and @10 in the document that holds the page and over the
set's own files, the paired differences, and what the vectors cost. Needs the extra `meaning`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import numpy as np

from desktop.documents.chunker import join_lines
from desktop.documents.minilm_embedder import MinilmEmbedder, is_installed
from desktop.documents.packs import shipped_packs
from desktop.documents.postings import Postings
from desktop.documents.search import Ranked, rank_collection, rank_document
from desktop.documents.semantic import Half, Passage, with_meaning
from tests.benchmarks.bench_retrieval import data_folder
from tests.benchmarks.retrieval_sets import QuestionSet, Sample, question_sets
from tests.benchmarks.retrieval_sides import CUTS, Files
from tests.desktop.documents.fts_documents import FtsDocuments

PLACES = ("in the document", "over the set's files")


class HeldTexts:
    """`semantic.Passages` over page texts in memory, for documents with these names."""

    def __init__(self, files: Files, names: Sequence[str], held: dict[str, Half]) -> None:
        self._pages = [{page.number: page.text for page in files[name]} for name in names]
        self._held = held

    def texts(self, passages: Sequence[Passage]) -> list[str]:
        """The joined text of each passage."""
        return [join_lines(self._pages[one.document][one.page][one.start : one.end])
                for one in passages]  # fmt: skip

    def vectors(self, digest: str, passages: Sequence[Passage]) -> Mapping[Passage, Half]:
        """Of equal texts, whichever search made them."""
        texts = zip(passages, self.texts(passages), strict=True)
        return {one: self._held[text] for one, text in texts if text in self._held}

    def store(self, digest: str, vectors: Mapping[Passage, Half]) -> None:
        """Keep vectors by text."""
        self._held |= dict(zip(self.texts(list(vectors)), vectors.values(), strict=True))


def main() -> None:
    """Print the tables."""
    data = data_folder()
    if data is None:
        return
    if not is_installed():
        print("skipped: the extra `meaning` is not installed")
        return
    embedder, packs, held = MinilmEmbedder.open(), shipped_packs(), {}
    for one in question_sets(data):
        print(f"\n{one.name}: {len(one.samples)} questions")
        print(f"{'hit@ (%)':22}" + "".join(f"{cut:>8}" for cut in CUTS))
        postings = {name: Postings.of_document(pages) for name, pages in one.files.items()}
        with FtsDocuments(one.files) as documents:
            _print_place(one, PLACES[0], embedder, held, lambda s: (
                rank_document(s.question, postings[s.file], packs), [s.file]))  # noqa: B023
            _print_place(one, PLACES[1], embedder, held, lambda s: (
                rank_collection(s.question, documents, packs), documents.names))  # noqa: B023


def _print_place(one: QuestionSet, place: str, embedder, held: dict[str, Half], search) -> None:
    hits = np.zeros((2, len(one.samples), len(CUTS)), bool)
    known, seconds = len(held), time.process_time()
    for at, sample in enumerate(one.samples):
        ranked, names = search(sample)
        passages = HeldTexts(one.files, names, held)
        lifted = asyncio.run(with_meaning(ranked, passages, embedder))
        hits[:, at] = [_hits(each, names, sample) for each in (ranked, lifted)]
    seconds = time.process_time() - seconds
    for name, side in zip(("words", "words and meaning"), hits, strict=True):
        shares = "".join(f"{100 * share:8.1f}" for share in side.mean(axis=0).tolist())
        print(f"{place if name == 'words' else '':22}{shares}  {name}")
    words, both = hits
    paired = [f"{100 * (both[:, at].mean() - words[:, at].mean()):+.1f} "
              f"(+{(both[:, at] & ~words[:, at]).sum()} -{(words[:, at] & ~both[:, at]).sum()})"
              for at in range(len(CUTS))]  # fmt: skip
    print(f"{'':22}difference: {', '.join(paired)}; {len(held) - known} new vectors, "
          f"{seconds / len(one.samples):.2f} CPU-s a question", flush=True)  # fmt: skip


def _hits(ranked: Ranked, names: Sequence[str], sample: Sample) -> list[bool]:
    places = [(names[hit.document], hit.page) for hit in ranked.found().hits]
    right = {(sample.file, page) for page in sample.pages}
    return [not right.isdisjoint(places[:cut]) for cut in CUTS]


if __name__ == "__main__":
    main()
