"""The parser child: what it streams, what it survives, how each document ends in one outcome."""

import os
import signal
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from converters.documents.child import DocumentChild, Reading
from converters.documents.kinds import open_document
from converters.documents.limits import Limits
from converters.documents.page import Page
from converters.errors import Stopped, UserError
from tests.converters.documents import bombs
from tests.converters.documents.encryption import encrypted
from tests.converters.documents.tiny_pdf import document, image, line


@pytest.fixture
def child():
    with DocumentChild() as running:
        yield running


def written(folder: Path, data: bytes, name: str = "a.pdf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def read(
    child: DocumentChild, path: Path, password: str | None = None
) -> tuple[list[Page], Reading]:
    reading = child.read(path, password)
    return list(reading), reading


def test_a_child_gives_the_same_pages_as_reading_here(child: DocumentChild, tmp_path: Path) -> None:
    path = written(tmp_path, document([line(72, 700, "Grüße"), line(72, 700, "x", before="3 Tr")]))
    pages, reading = read(child, path)
    with open_document(path) as reader:
        expected = [page for page in reader.pages() if isinstance(page, Page)]
    assert len(pages) == len(expected) == 2
    for ours, theirs in zip(pages, expected, strict=True):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)
        assert {**vars(ours), "boxes": 0} == {**vars(theirs), "boxes": 0}
    assert (reading.outcome.kind, reading.outcome.hidden) == ("text", 1)
    assert reading.outcome.sentence == (
        "All 2 pages have text. 1 character on 1 page is hidden from readers."
    )


def test_a_clean_child_is_reused_over_all_kinds(child: DocumentChild, tmp_path: Path) -> None:
    read(child, written(tmp_path, document([line(72, 700, "one")])))
    first = child.pid
    for name, data in (("a.txt", b"words"), ("a.csv", b"a,b\n1,2"), ("a.md", b"# Title")):
        pages, reading = read(child, written(tmp_path, data, name))
        assert (len(pages), reading.outcome.kind) == (1, "text")
    read(child, written(tmp_path, b"%PDF-1.7 nothing"))
    assert child.pid == first


def test_starting_costs_less_than_a_third_of_a_second() -> None:
    def start() -> float:
        since = time.monotonic()
        with DocumentChild() as child:
            assert child.process_for(0).documents == 0
            return time.monotonic() - since

    assert min(start() for _ in range(5)) < 0.3


def test_f24_ten_thousand_pages_are_usable_from_the_first_on(
    child: DocumentChild, tmp_path: Path
) -> None:
    path = written(tmp_path, document([line(72, 700, f"page {n}") for n in range(1, 10_001)]))
    since = time.monotonic()
    reading = child.read(path)
    pages = iter(reading)
    first = next(pages)
    assert time.monotonic() - since < 2
    assert (first.text, reading.page_count) == ("page 1\n", 10_000)
    (last,) = deque(pages, maxlen=1)
    assert (last.number, last.text) == (10_000, "page 10000\n")
    assert reading.outcome.sentence == "All 10,000 pages have text."


def test_f24_ten_thousand_pages_are_cancelled_within_a_second(
    child: DocumentChild, tmp_path: Path
) -> None:
    path = written(tmp_path, document([line(72, 700, "page")] * 10_000))
    seen: list[float] = []
    pages = iter(child.read(path, should_stop=lambda: len(seen) >= 50))
    with pytest.raises(Stopped):
        seen.extend(time.monotonic() for _ in pages)
    assert time.monotonic() - seen[49] < 1
    assert 50 <= len(seen) < 10_000
    assert child.pid is None  # it was in the middle of the document


def test_a_child_that_is_busy_with_one_page_is_cancelled_within_a_second(
    child: DocumentChild, tmp_path: Path
) -> None:
    path = written(tmp_path, bombs.many_operators())
    since = time.monotonic()
    with pytest.raises(Stopped):
        list(child.read(path, should_stop=lambda: time.monotonic() - since > 0.2))
    assert time.monotonic() - since < 1.2


@pytest.mark.parametrize(
    ("password", "kind", "said"),
    [
        (None, "encrypted", "The PDF is encrypted."),
        ("wrong", "encrypted", "The password is wrong."),
        ("user", "text", "The only page has text."),
        ("owner", "text", "The only page has text."),
    ],
)
def test_f25_encrypted_document_ends_as_its_password_allows(
    child: DocumentChild, tmp_path: Path, password: str | None, kind: str, said: str
) -> None:
    path = written(tmp_path, encrypted(line(72, 700, "secret"), 4, "user", "owner"))
    pages, reading = read(child, path, password)
    assert (reading.outcome.kind, len(pages)) == (kind, int(kind == "text"))
    assert reading.outcome.sentence.startswith(said)
    assert "wrong " not in repr(vars(reading))


def test_f25_encrypted_password_stays_out_of_the_log(tmp_path: Path) -> None:
    path = written(tmp_path, encrypted(line(72, 700, "secret"), 4, "user", "owner"))
    log = tmp_path / "log"
    with DocumentChild(log=log) as child:
        read(child, path, "hunter2-hunter2")
    assert b"hunter2" not in log.read_bytes()


def _scans(pages: list[str]) -> bytes:
    scan = "q 595 0 0 842 0 0 cm /Im0 Do Q"
    contents = [scan if page == "scan" else line(72, 700, page) for page in pages]
    resources = "/XObject << /Im0 100000 0 R >>"
    return document(contents, resources=resources, more={100_000: image()})


def test_f26_scanned_document_has_no_text(child: DocumentChild, tmp_path: Path) -> None:
    pages, reading = read(child, written(tmp_path, _scans(["scan"] * 3)))
    assert [page.verdict for page in pages] == ["scan"] * 3
    assert reading.outcome.kind == "no text"
    assert "No text on 3 of 3 pages (1-3): pictures" in reading.outcome.sentence


def test_f26_scanned_pages_among_others_are_listed(child: DocumentChild, tmp_path: Path) -> None:
    path = written(tmp_path, _scans(["one", "scan", "three", "scan", "scan", "six"]))
    _, reading = read(child, path)
    assert reading.outcome.kind == "partly text"
    assert reading.outcome.verdicts == {"text": 3, "scan": 3}
    assert reading.outcome.sentence.startswith(
        "Text on 3 of 6 pages. No text on 3 of 6 pages (2, 4-5): pictures"
    )


def test_f27_malformed_pages_are_listed_and_the_rest_is_usable(
    child: DocumentChild, tmp_path: Path
) -> None:
    whole = document([line(72, 700, f"page {n}") for n in range(1, 5)])
    broken = whole.replace(b"7 0 obj\n<< /Type /Page ", b"7 0 obj\n[ /Type /Page  ")
    pages, reading = read(child, written(tmp_path, broken))
    assert [page.number for page in pages] == [1, 3, 4]
    assert (reading.outcome.kind, reading.outcome.lost) == ("partly text", (2,))
    assert "1 of 4 pages (2) is damaged." in reading.outcome.sentence


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"%PDF-1.7\n1 0 obj <<", os.urandom(5000)])
def test_f27_malformed_files_are_damaged(
    child: DocumentChild, tmp_path: Path, data: bytes
) -> None:
    pages, reading = read(child, written(tmp_path, data))
    assert (pages, reading.outcome.kind, reading.outcome.bug) == ([], "damaged", "")


def test_f27_malformed_end_is_said_to_be_cut_off(child: DocumentChild, tmp_path: Path) -> None:
    whole = document([line(72, 700, f"page {n}") for n in range(1, 4)])
    _, reading = read(child, written(tmp_path, whole[: whole.index(b"xref\n")]))
    assert (reading.outcome.kind, reading.outcome.is_repaired) == ("text", True)
    assert "The file is cut off" in reading.outcome.sentence


@pytest.mark.parametrize("name", bombs.ALL)
def test_f28_bomb_ends_in_an_outcome_and_the_next_document_is_read(
    child: DocumentChild, tmp_path: Path, name: str
) -> None:
    since = time.monotonic()
    _, reading = read(child, written(tmp_path, bombs.ALL[name](), "bomb.pdf"))
    assert reading.outcome.kind in ("text", "partly text", "no text", "damaged", "too expensive")
    assert reading.outcome.sentence
    assert reading.outcome.bug == ""
    assert reading.outcome.cpu_s < 60
    assert time.monotonic() - since < 60
    pages, after = read(child, written(tmp_path, document([line(72, 700, "fine")])))
    assert (after.outcome.kind, [page.text for page in pages]) == ("text", ["fine\n"])


def test_f28_bomb_of_three_gigabytes_is_too_expensive(
    child: DocumentChild, tmp_path: Path
) -> None:
    _, reading = read(child, written(tmp_path, bombs.nested_flate()))
    assert reading.outcome.kind == "too expensive"
    assert "too expensive. It need" in reading.outcome.sentence
    assert "memory" in reading.outcome.sentence


def test_f28_bomb_page_costs_its_own_limit_and_no_other_page(tmp_path: Path) -> None:
    slow = "q Q " * 12_000_000
    path = written(tmp_path, document([line(72, 700, "one"), slow, line(72, 700, "three")]))
    with DocumentChild(Limits(page_cpu_s=0.3)) as child:
        pages, reading = read(child, path)
    assert [page.number for page in pages] == [1, 3]
    assert (reading.outcome.kind, reading.outcome.lost) == ("partly text", (2,))
    assert "(2) is too expensive. It took more than 0.3 seconds of processor time." in (
        reading.outcome.sentence
    )


def test_f28_bomb_of_many_slow_pages_ends_at_the_limit_of_the_document(tmp_path: Path) -> None:
    slow = line(72, 700, "slow") + "q Q " * 1_000_000
    path = written(tmp_path, document([slow] * 20))
    with DocumentChild(Limits(cpu_s=0.5, page_credit_s=0.0)) as child:
        pages, reading = read(child, path)
        assert child.pid is None
    assert 0 < len(pages) < 20
    assert reading.outcome.kind == "partly text"
    assert "The document is too expensive to read. It took more than 0.5 seconds" in (
        reading.outcome.sentence
    )
    assert f"{len(pages)} of its pages were read." in reading.outcome.sentence


def test_a_killed_child_costs_one_page_at_most(child: DocumentChild, tmp_path: Path) -> None:
    path = written(tmp_path, document([line(72, 700, f"page {n}") for n in range(1, 3001)]))
    reading = child.read(path)
    numbers = []
    for page in reading:
        numbers.append(page.number)
        if page.number == 5 and child.pid is not None and len(numbers) == 5:
            os.kill(child.pid, signal.SIGKILL)
    assert len(numbers) >= 2999
    assert numbers == sorted(set(numbers))
    assert len(numbers) + len(reading.outcome.lost) == 3000
    assert reading.outcome.bug == ""


def test_a_used_child_that_dies_is_no_fault_of_the_document(
    child: DocumentChild, tmp_path: Path
) -> None:
    path = written(tmp_path, document([line(72, 700, "fine")]))
    read(child, path)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    pages, reading = read(child, path)
    assert (len(pages), reading.outcome.kind) == (1, "text")


def test_a_file_that_changes_meanwhile_is_said_so(child: DocumentChild, tmp_path: Path) -> None:
    path = written(tmp_path, document([line(72, 700, "page")] * 100))
    reading = child.read(path)
    for page in reading:
        if page.number == 1:
            with path.open("ab") as file:
                file.write(b"more")
    assert reading.outcome.has_changed
    assert "changed while it was read" in reading.outcome.sentence


def test_a_file_that_shrinks_meanwhile_takes_nothing_down(
    child: DocumentChild, tmp_path: Path
) -> None:
    filler = {100_000 + n: b"(" + bytes(60_000) + b")" for n in range(100)}
    path = written(tmp_path, document([line(72, 700, "page")] * 3000, more=filler))
    reading = child.read(path)
    for page in reading:
        if page.number == 1:
            os.truncate(path, 1000)
    assert reading.outcome.has_changed
    pages, after = read(child, written(tmp_path, document([line(72, 700, "fine")])))
    assert after.outcome.kind == "text"


@pytest.mark.parametrize(
    "name",
    ["with\nnewline.pdf", "right\u202eto-left.pdf", "n" * 251 + ".pdf", "-rf.pdf", "'$(x)'.pdf"],
)
def test_odd_names_are_read(child: DocumentChild, tmp_path: Path, name: str) -> None:
    _, reading = read(child, written(tmp_path, document([line(72, 700, "fine")]), name))
    assert reading.outcome.kind == "text"


def test_an_unknown_kind_and_a_missing_file_are_errors(
    child: DocumentChild, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is a Word document"):
        list(child.read(written(tmp_path, b"PK\x03\x04", "a.docx")))
    with pytest.raises(UserError, match="not found"):
        list(child.read(tmp_path / "none.pdf"))


def test_a_reading_that_is_left_early_leaves_no_child(tmp_path: Path) -> None:
    path = written(tmp_path, document([line(72, 700, "page")] * 1000))
    with DocumentChild() as child:
        reading = child.read(path)
        next(iter(reading))
        reading.close()
        assert child.pid is None
        with pytest.raises(RuntimeError, match="not read to its end"):
            assert reading.outcome
