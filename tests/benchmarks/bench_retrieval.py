"""Page retrieval: our recipe with and without packs beside plain FTS5 BM25, question by question.

    python -m tests.benchmarks.bench_retrieval

Prints the share of questions with a page of theirs among the first 1, 5 and 10: in the document
that holds it, over the set's own files, and over the files of all sets; the paired differences;
the gates of FACTS 3.7; CPU times. Same run, same texts, same 1,800-character chunks.
"""

import os
import sqlite3
import time
from pathlib import Path

import numpy as np

from desktop.documents.packs import shipped_packs
from desktop.documents.postings import Postings
from tests.benchmarks.retrieval_sets import QuestionSet, question_sets
from tests.benchmarks.retrieval_sides import Files, Side, in_document, over_files

PLACES = ("in the document", "over the set's files", "over all files")
PAGES, CHUNKS, GENERAL, PACKS = range(4)
GATES = (
    ("long financial reports, in the document, hit@5", "mmlongbench reports", 0, 1, 70),
    ("long financial reports, in the document, hit@10", "mmlongbench reports", 0, 2, 82),
    ("long financial reports, their collection, hit@5", "mmlongbench reports", 1, 1, 64),
    ("slides, papers and guides, in the document, hit@5", "mmlongbench others", 0, 1, 66),
    ("mixed collection, hit@5", "chunking_eval", 2, 1, 92),
)
Results = dict[str, list[list[Side]]]


def main() -> None:
    """Print the tables."""
    data = data_folder()
    if data is None:
        return
    packs = shipped_packs()
    print(f"SQLite {sqlite3.sqlite_version}, numpy {np.__version__}, "
          f"packs: {', '.join(pack.name for pack in packs)}")  # fmt: skip
    sets = question_sets(data)
    everything = {name: pages for one in sets for name, pages in one.files.items()}
    results: Results = {}
    for one in sets:
        results[one.name] = [
            in_document(one, packs),
            over_files(one, one.files, packs),
            over_files(one, everything, packs),
        ]
        _print_set(one, results[one.name], everything)
    _print_gates(results)
    _print_rate(everything)


def data_folder() -> Path | None:
    """The folder of real data sets; None, which is printed, where it is absent."""
    data = Path(os.environ.get("TUNEDESK_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if data.is_dir():
        return data
    print("skipped: the data folder is absent, set TUNEDESK_DATA")
    return None


def _print_set(one: QuestionSet, places: list[list[Side]], everything: Files) -> None:
    print(
        f"\n{one.name}: {len(one.samples)} questions, {_size(one.files)}; all: {_size(everything)}"
    )
    print(f"{'':22}" + "".join(f"{place:>30}" for place in PLACES))
    print(f"{'hit@ (%)':22}" + f"{'1':>8}{'5':>7}{'10':>7}{'CPU ms':>8}" * len(PLACES))
    for sides in zip(*places, strict=True):
        print(f"{sides[0].name:22}" + "".join(map(_figures, sides)))
    for label, ours, theirs in (
        ("packs - FTS5 chunks", PACKS, CHUNKS),
        ("no packs - chunks", GENERAL, CHUNKS),
        ("packs - no packs", PACKS, GENERAL),
    ):
        print(f"{label:22}" + "".join(_paired(sides[ours], sides[theirs]) for sides in places))


def _size(files: Files) -> str:
    return f"{len(files)} files of {sum(map(len, files.values()))} pages"


def _figures(side: Side) -> str:
    shares = [100 * share for share in side.hits.mean(axis=0).tolist()]
    return "{:8.1f}{:7.1f}{:7.1f}".format(*shares) + f"{side.cpu_ms:8.2f}"


def _paired(ours: Side, theirs: Side) -> str:
    """Difference of hit@5 in points, and the questions won and lost."""
    a, b = ours.hits[:, 1], theirs.hits[:, 1]
    points = 100 * (a.mean() - b.mean())
    return f"{points:+15.1f}" + f"(+{(a & ~b).sum()} -{(b & ~a).sum()})".rjust(15)


def _print_gates(results: Results) -> None:
    print("\ngates of FACTS 3.7")
    for label, name, place, cut, gate in GATES:
        share = 100 * results[name][place][PACKS].hits[:, cut].mean()
        print(f"  {label:52}{share:6.1f} % (>= {gate}) {'holds' if share >= gate else 'MISSED'}")
    for name in ("mmlongbench others", "chunking_eval"):
        for place, sides in zip(PLACES, results[name], strict=True):
            change = 100 * (sides[PACKS].hits[:, 1].mean() - sides[GENERAL].hits[:, 1].mean())
            verdict = "holds" if change >= -1 else "MISSED"
            label = f"the pack on {name}, {place}, hit@5"
            print(f"  {label:62}{change:+6.1f} (>= -1) {verdict}")


def _print_rate(files: Files) -> None:
    n_pages = sum(map(len, files.values()))
    start = time.process_time()
    for pages in files.values():
        Postings.of_document(pages)
    seconds = time.process_time() - start
    print(f"\npostings: {seconds * 100 / n_pages:.3f} CPU-s for 100 pages (<= 0.2)")


if __name__ == "__main__":
    main()
