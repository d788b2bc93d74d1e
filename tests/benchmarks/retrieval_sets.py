"""The question sets of bench_retrieval: documents as page texts, questions with their pages."""

import ast
import csv
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.documents.kinds import open_document
from converters.documents.page import Page
from desktop.documents.table_text import with_rows
from desktop.documents.tokens import PageText
from tests.benchmarks.text_pdf import write_pdf


@dataclass(frozen=True)
class Sample:
    """A question whose answer stands on one of `pages` of `file`."""

    question: str
    file: str
    pages: frozenset[int]


@dataclass(frozen=True)
class QuestionSet:
    """files: page texts by file name."""

    name: str
    files: dict[str, list[PageText]]
    samples: list[Sample]


def question_sets(data: Path) -> list[QuestionSet]:
    """uda_sample, mmlongbench_small in two halves (company reports, the rest), chunking_eval."""
    samples = list(_mmlongbench(data / "mmlongbench_small" / "samples.json"))
    files = _pdfs(data / "mmlongbench_small" / "documents")
    reports = {sample.file for sample, kind in samples if kind == "Financial report"}
    halves = [[sample for sample, _ in samples if (sample.file in reports) is wanted]
              for wanted in (True, False)]  # fmt: skip
    uda = QuestionSet("uda_sample fin_qa", _pdfs(data / "uda_sample"), _uda(data / "uda_sample"))
    return [
        uda,
        QuestionSet("mmlongbench reports", _only(files, reports, True), halves[0]),
        QuestionSet("mmlongbench others", _only(files, reports, False), halves[1]),
        _chunking(data / "chunking_eval"),
    ]


def page_texts(path: Path) -> list[PageText]:
    """The text of each page of a PDF in reading order; a page that cannot be read is empty."""
    with open_document(path) as reader:
        return [
            PageText(page.number, with_rows(page).text if isinstance(page, Page) else "")
            for page in reader.pages()
        ]


def _pdfs(folder: Path) -> dict[str, list[PageText]]:
    return {path.name: page_texts(path) for path in sorted(folder.glob("*.pdf"))}


def _only(
    files: dict[str, list[PageText]], names: set[str], inside: bool
) -> dict[str, list[PageText]]:
    return {name: pages for name, pages in files.items() if (name in names) is inside}


def _uda(folder: Path) -> list[Sample]:
    with (folder / "fin_qa.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="|"))
    pages = [re.search(r"page_(\d+)\.pdf", row["q_uid"]) for row in rows]
    return [Sample(row["question"], f"{row['doc_name']}.pdf", frozenset({int(page[1])}))
            for row, page in zip(rows, pages, strict=True) if page]  # fmt: skip


def _mmlongbench(path: Path) -> Iterator[tuple[Sample, str]]:
    for row in json.loads(path.read_text(encoding="utf-8")):
        pages = ast.literal_eval(row["evidence_pages"])
        if pages:
            yield Sample(row["question"], row["doc_id"], frozenset(pages)), row["doc_type"]


def _chunking(folder: Path) -> QuestionSet:
    """Its texts are set as PDFs of ours, so that the page of every span is known."""
    files: dict[str, list[PageText]] = {}
    layouts = {}
    with tempfile.TemporaryDirectory(prefix="tunedesk-bench-") as scratch:
        for path in sorted(folder.glob("*.md")):
            name = path.stem.rsplit("corpora_", 1)[1]
            pdf = Path(scratch) / f"{name}.pdf"
            layouts[name] = write_pdf(path.read_text(encoding="utf-8"), pdf)
            files[pdf.name] = page_texts(pdf)
    (table,) = folder.glob("*questions_df.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    samples = []
    for row in rows:
        layout = layouts[row["corpus_id"]]
        pages = {page for span in json.loads(row["references"])
                 for page in layout.pages_of(span["start_index"], span["end_index"])}  # fmt: skip
        samples.append(Sample(row["question"], f"{row['corpus_id']}.pdf", frozenset(pages)))
    return QuestionSet("chunking_eval", files, samples)
