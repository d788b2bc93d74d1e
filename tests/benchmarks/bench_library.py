"""A library of 10,000 pages and one of 300,000 chunks: questions, opening, one more file.

    python -m tests.benchmarks.bench_library

Real pages of the data folder in documents of 100 pages, copied as often as needed. The other side
is one FTS5 query over all words of the question, without the frequency cut, which finds chunks but
ranks no pages. CPU-milliseconds of this process; the same questions in the same run.
"""

import csv
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from converters.documents.kinds import open_document
from converters.documents.page import Page, without_places
from desktop.documents.additions import Additions
from desktop.documents.document_pages import DocumentPages, Ending
from desktop.documents.found_files import FoundFile
from desktop.documents.ingest import Request, add_documents
from desktop.documents.library import Library
from desktop.documents.lookup import PostingsCache
from desktop.documents.packs import shipped_packs
from desktop.documents.passages import ask
from desktop.documents.query import clean

PAGES_A_DOCUMENT, QUESTIONS = 100, 30
SMALL_PAGES, LARGE_CHUNKS = 10_000, 300_000
NEW_REPORT = "uda_sample/inpixon_2019.pdf"
REPORTS = (
    "uda_sample/GS_2016.pdf", "uda_sample/inpixon_2019.pdf", "uda_sample/ADI_2009.pdf",
    "uda_sample/viavi-solutions-inc_2019.pdf", "mmlongbench_small/documents/NIKE_2021_10K.pdf",
    "mmlongbench_small/documents/COSTCO_2021_10K.pdf",
    "mmlongbench_small/documents/AMAZON_2017_10K.pdf",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    data = Path(os.environ.get("TUNEDESK_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not data.is_dir():
        print("skipped: the data folder is absent, set TUNEDESK_DATA")
        return
    print(f"SQLite {sqlite3.sqlite_version}, numpy {np.__version__}")
    folder = Path(tempfile.mkdtemp(prefix="tunedesk-bench-"))
    try:
        questions = _questions(data)
        _dropped(folder / "dropped", data / NEW_REPORT)
        _build(folder, data)
        _copy_until(folder, "pages", SMALL_PAGES)
        _small(folder, questions)
        _copy_until(folder, "chunks", LARGE_CHUNKS)
        _large(folder, questions)
    finally:
        shutil.rmtree(folder)


def _dropped(folder: Path, report: Path) -> None:
    """A new PDF from nothing to its first answer, the parser child included."""
    before = os.times()
    wall = time.monotonic()
    pages = add_documents(Request(folder, (report,)), lambda _: None, lambda: False).pages
    with Library(folder) as library:
        ask(library, "What are the total assets?", shipped_packs())
    now = os.times()
    spent = sum(now[:4]) - sum(before[:4])
    note = f"{pages} pages, {time.monotonic() - wall:.2f} s wall (<= 1,500 for 100 pages)"
    _row("from drop to answer, 100 pages", 1e5 * spent / pages, "ms CPU", note)


def _small(folder: Path, questions: Sequence[str]) -> None:
    _print_size(folder)
    cpu, wall = _times(lambda: _count_of(folder))
    _row("open and count", cpu, "ms CPU", f"{wall:.0f} ms wall (<= 300)")
    with Library(folder) as library:
        cache, packs = PostingsCache(), shipped_packs()
        cold, _ = _times(lambda: ask(library, questions[0], packs, cache=cache))
        _row("first question after a start", cold, "ms CPU", "")
        _both(library, questions, cache, "<= 100 over the collection")
        name = library.files()[0].name
        ask(library, questions[0], packs, file=name, cache=cache)
        inside = [_times(lambda q=q: ask(library, q, packs, 10, name, cache))[0] for q in questions]
        _row("a question in one document", np.mean(inside), "ms CPU", f"most {max(inside):.1f}")
    file = folder / "new.txt"
    file.write_text("\f".join(f"Page {n} of a new report.\n" * 30 for n in range(20)))
    request = Request(folder, (file,))
    cpu, wall = _times(lambda: add_documents(request, lambda _: None, lambda: False))
    _row("one more file of 20 pages", cpu, "ms CPU", f"{wall:.0f} ms wall, check and backup too")


def _large(folder: Path, questions: Sequence[str]) -> None:
    _print_size(folder)
    with Library(folder) as library:
        _both(library, questions, PostingsCache(), "<= 150 over 300,000 chunks")


def _both(library: Library, questions: Sequence[str], cache: PostingsCache, gate: str) -> None:
    """Ours and plain FTS5 in turn for each question, postings of the pools unpacked before."""
    packs = shipped_packs()
    for question in questions:
        ask(library, question, packs, cache=cache)
    ours, plain = [], []
    for question in questions:
        ours.append(_times(lambda q=question: ask(library, q, packs, cache=cache))[0])
        plain.append(_times(lambda q=question: _plain(library, q))[0])
    _row("a question, whole answer", np.mean(ours), "ms CPU", f"most {max(ours):.1f} ({gate})")
    _row("plain FTS5, candidates alone", np.mean(plain), "ms CPU", f"most {max(plain):.1f}")


def _plain(library: Library, question: str) -> None:
    wanted = " OR ".join(f'"{word}"' for word in dict.fromkeys(clean(question).words))
    library.connection.execute(
        "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words) LIMIT 30", (wanted,)
    ).fetchall()


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU, wall) milliseconds."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return 1e3 * (time.process_time() - cpu), 1e3 * (time.monotonic() - wall)


def _row(what: str, value: float | np.floating, unit: str, note: str) -> None:
    print(f"  {what:34}{float(value):9.1f} {unit}  {note}")


def _print_size(folder: Path) -> None:
    with Library(folder) as library:
        chunks = library.connection.execute("SELECT count(*) FROM chunks").fetchone()[0]
        counts = library.counts()
    size = (folder / "library.sqlite").stat().st_size
    print(f"\n{counts.documents:,} documents, {counts.pages:,} pages, {chunks:,} chunks, "
          f"{size / 1e6:,.0f} MB")  # fmt: skip


def _count_of(folder: Path) -> None:
    with Library(folder) as library:
        library.counts()


def _questions(data: Path) -> list[str]:
    with (data / "uda_sample" / "fin_qa.csv").open(encoding="utf-8", newline="") as file:
        return [row["question"] for row in csv.DictReader(file, delimiter="|")][:QUESTIONS]


def _build(folder: Path, data: Path) -> None:
    """Documents of 100 real pages each, without the places of their characters."""
    with Library(folder, may_write=True) as library:
        for report in REPORTS:
            with open_document(data / report) as reader:
                pages = [page for page in reader.pages() if isinstance(page, Page)]
            for start in range(0, len(pages) - PAGES_A_DOCUMENT + 1, PAGES_A_DOCUMENT):
                name = f"/bench/{Path(report).stem}-{start}.pdf"
                _store(library, name, pages[start : start + PAGES_A_DOCUMENT])


def _store(library: Library, name: str, pages: Sequence[Page]) -> None:
    file = FoundFile(name.encode(), 1, 1)
    Additions(library).register([file])
    document = DocumentPages(library, file, name)
    for number, page in enumerate(pages, 1):
        places = without_places(len(page.text))
        document.add(Page(number, page.width, page.height, page.text, places, page.verdict))
    document.finish(Ending("text", "", len(pages)))


def _copy_until(folder: Path, table: str, rows: int) -> None:
    """Copy whole documents, one after the other, until there are so many rows."""
    with Library(folder, may_write=True) as library:
        base = library.connection
        base.execute("PRAGMA synchronous = OFF")
        originals = [row[0] for row in base.execute(
            "SELECT d.id FROM documents d JOIN files f USING (sha256) WHERE f.name NOT LIKE '%+%'"
        )]  # fmt: skip
        number = base.execute("SELECT max(id) FROM documents").fetchone()[0]
        base.execute("BEGIN")
        while base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] < rows:
            for original in originals:
                number += 1
                _copy(base, original, number)
        base.execute("COMMIT")


def _copy(base: sqlite3.Connection, original: int, number: int) -> None:
    first_page = base.execute("SELECT coalesce(max(id), 0) FROM pages").fetchone()[0]
    first_chunk = base.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()[0]
    columns = [row[1] for row in base.execute("PRAGMA table_info(documents)")][2:]
    rest = ", ".join(columns)  # all but the row and the hash, which are the copy's own
    values = {"old": original, "new": number, "chunk": first_chunk}
    for statement in (
        f"INSERT INTO documents (id, sha256, {rest}) SELECT :new, sha256 || :new, {rest} "
        "FROM documents WHERE id = :old",
        "INSERT INTO files SELECT NULL, f.path || :new, f.name || '+' || :new, size, mtime_ns, "
        "f.sha256 || :new, state, reason, f.reader FROM files f JOIN documents d USING (sha256) "
        "WHERE d.id = :old",
        "INSERT INTO pages (document, number, text, check_sum, width, height, verdict, hidden, "
        "hidden_spans, table_rows, boxes) SELECT :new, number, text, check_sum, width, height, "
        "verdict, hidden, hidden_spans, table_rows, boxes FROM pages WHERE document = :old "
        "ORDER BY number",
        "INSERT INTO chunks (page, start, end) SELECT n.id, c.start, c.end FROM chunks c "
        "JOIN pages p ON p.id = c.page JOIN pages n ON n.document = :new AND n.number = p.number "
        "WHERE p.document = :old",
        "INSERT INTO words (rowid, text) SELECT id, text FROM chunk_texts WHERE id > :chunk",
        "INSERT INTO postings SELECT :new, part, data FROM postings WHERE document = :old",
        "INSERT INTO document_terms SELECT stem, :new, whole, front FROM document_terms "
        "WHERE document = :old",
    ):
        base.execute(statement, values)
    assert first_page < base.execute("SELECT max(id) FROM pages").fetchone()[0]


if __name__ == "__main__":
    main()
