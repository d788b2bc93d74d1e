"""Additions: only what changed is read, bad files are set aside, kills lose nothing told (R11)."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from converters.errors import Stopped
from converters.events import Event, Note, Progress
from desktop.documents.backup import BACKUP, DATABASE, LOCK
from desktop.documents.file_names import path_of
from desktop.documents.ingest import Added, Request, add_documents
from desktop.documents.library import Library
from desktop.documents.passages import ask
from tests.converters.documents.bombs import nested_flate
from tests.converters.documents.encryption import encrypted
from tests.converters.documents.tiny_pdf import document, image, line

FINISHED = -1
PAGE_TEXTS = ("The owl hunts at night.", "It eats mice.", "The nest is in a barn.")


def _add(
    folder: Path, *paths: Path, passwords: Sequence[str] = (), should_stop=lambda: False,
    events: list[Event] | None = None,
) -> Added:
    told = [] if events is None else events
    return add_documents(Request(folder, paths, tuple(passwords)), told.append, should_stop)


def _text_file(path: Path, pages: int, word: str = "owl") -> Path:
    path.write_text("\f".join(f"{word} page {number}\n" for number in range(1, pages + 1)))
    return path


def _reasons(added: Added) -> dict[str, str]:
    return {path_of(left.key).name: left.reason for left in added.skipped}


def _documents(folder: Path) -> list[tuple[int, int, int]]:
    """(id, pages, whether all) of every document: an id that stays was not read again."""
    with Library(folder) as library:
        return library.connection.execute(
            "SELECT d.id, count(p.id), d.is_complete FROM documents d "
            "LEFT JOIN pages p ON p.document = d.id GROUP BY d.id ORDER BY d.id"
        ).fetchall()


def _assert_whole(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as base:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        base.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []
        assert base.execute(
            "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT id FROM words)"
        ).fetchone() == (0,)
        base.rollback()


def test_files_of_a_folder_are_read_once_and_only_what_changed_is_read_again(tmp_path):
    papers, folder = tmp_path / "papers", tmp_path / "library"
    papers.mkdir()
    (papers / "a.pdf").write_bytes(document([line(50, 700, text) for text in PAGE_TEXTS]))
    _text_file(papers / "b.txt", 2)
    first = _add(folder, papers)
    assert (first.files, first.indexed, first.pages, first.skipped) == (2, 2, 5, ())
    kept = _documents(folder)
    again = _add(folder, papers)
    assert (again.indexed, again.unchanged, again.pages) == (0, 2, 5)
    os.utime(papers / "b.txt")  # touched, not changed
    assert _add(folder, papers).indexed == 0
    assert _documents(folder) == kept
    _text_file(papers / "b.txt", 3, "mouse")
    changed = _add(folder, papers)
    assert (changed.indexed, changed.unchanged, changed.pages) == (1, 1, 6)
    assert _documents(folder)[0] == kept[0]
    with Library(folder) as library:
        assert ask(library, "owl page").passages[0].file == "a.pdf"
        assert ask(library, "mouse page 2").passages[0].page == 2
    _assert_whole(folder)


def test_the_same_content_is_read_once_wherever_it_lies(tmp_path):
    papers, folder = tmp_path / "papers", tmp_path / "library"
    papers.mkdir()
    for name in ("a.txt", "copy of a.txt"):
        _text_file(papers / name, 2)
    added = _add(folder, papers)
    assert (added.files, added.indexed, added.same_content, added.pages) == (2, 1, 1, 2)
    (papers / "a.txt").rename(papers / "moved.txt")
    assert _add(folder, papers).same_content == 1
    assert len(_documents(folder)) == 1


def test_f27_bad_files_are_named_set_aside_and_not_read_again_until_they_change(tmp_path):
    papers, folder = tmp_path / "papers", tmp_path / "library"
    papers.mkdir()
    (papers / "broken.pdf").write_bytes(b"%PDF-1.7 nothing follows")
    (papers / "letter.docx").write_bytes(b"PK\x03\x04" + bytes(200))
    (papers / "nothing.pdf").write_bytes(b"")
    _text_file(papers / "good.txt", 1)
    events: list[Event] = []
    added = _add(folder, papers, events=events)
    assert added.indexed == 1
    reasons = _reasons(added)
    assert set(reasons) == {"broken.pdf", "letter.docx", "nothing.pdf"}
    assert "letter.docx is a Word document" in reasons["letter.docx"]
    assert "0 bytes" in reasons["nothing.pdf"]
    told = [event.text for event in events if isinstance(event, Note)]
    assert any(text.startswith("broken.pdf was not added. ") for text in told)
    events.clear()
    again = _add(folder, papers, events=events)
    assert _reasons(again) == reasons
    assert not [event for event in events if isinstance(event, Note)]
    (papers / "broken.pdf").write_bytes(document([line(50, 700, "The owl.")]))
    assert _add(folder, papers).indexed == 1


def test_what_a_file_said_before_it_was_damaged_is_not_found_any_more(tmp_path):
    file, folder = _text_file(tmp_path / "a.txt", 2), tmp_path / "library"
    _add(folder, file)
    file.write_bytes(b"\x89PNG" + bytes(100))
    assert "a picture" in _reasons(_add(folder, file))["a.txt"]
    with Library(folder) as library:
        assert library.counts().documents == 0
        assert ask(library, "owl").passages == ()
    _assert_whole(folder)


def test_f25_an_encrypted_document_waits_for_its_password_which_is_kept_nowhere(tmp_path):
    secret = tmp_path / "secret.pdf"
    content = line(50, 700, "The owl hunts at night.")
    secret.write_bytes(encrypted(content, 6, "correct horse", "battery staple"))
    folder = tmp_path / "library"
    assert "password" in _reasons(_add(folder, secret))["secret.pdf"]
    events: list[Event] = []
    refused = _add(folder, secret, passwords=["wrong"], events=events)
    assert refused.indexed == 0
    assert _reasons(refused)["secret.pdf"].startswith("The password is wrong.")
    assert "The password is wrong." in repr(events)
    assert _reasons(_add(folder, secret))["secret.pdf"].startswith("The PDF is encrypted.")
    added = _add(folder, secret, passwords=["wrong", "correct horse"], events=events)
    assert (added.indexed, added.pages, added.skipped) == (1, 1, ())
    assert _add(folder, secret).unchanged == 1
    kept = b"".join(path.read_bytes() for path in folder.glob("*")) + repr(events).encode()
    assert b"correct horse" not in kept
    assert "correct horse" not in repr(Request(folder, (secret,), ("correct horse",)))


def test_f26_pages_without_text_are_counted_and_said(tmp_path):
    scan = tmp_path / "scan.pdf"
    picture = "q 500 0 0 700 50 50 cm /Im0 Do Q"
    scan.write_bytes(document(
        [line(50, 700, "The owl hunts at night and eats mice."), picture],
        resources="/XObject << /Im0 100000 0 R >>", more={100_000: image()},
    ))
    events: list[Event] = []
    added = _add(tmp_path / "library", scan, events=events)
    assert (added.indexed, added.pages, added.pages_without_text) == (1, 2, 1)
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert "No text on 1 of 2 pages (2)" in note


def test_f28_a_bomb_is_too_expensive_and_the_others_go_on(tmp_path):
    papers, folder = tmp_path / "papers", tmp_path / "library"
    papers.mkdir()
    (papers / "bomb.pdf").write_bytes(nested_flate())
    _text_file(papers / "z.txt", 1)
    added = _add(folder, papers)
    assert added.indexed == 1
    assert "too expensive" in _reasons(added)["bomb.pdf"]


def test_a_file_that_changes_while_it_is_read_is_named_and_read_again(tmp_path):
    file, folder = _text_file(tmp_path / "a.txt", 3000), tmp_path / "library"
    _add(folder, _text_file(tmp_path / "other.txt", 1))
    events: list[Event] = []
    size = file.stat().st_size

    def change_once() -> bool:
        if file.stat().st_size == size and any(isinstance(e, Progress) for e in events):
            with file.open("a") as stream:
                stream.write("more")
        return False

    added = _add(folder, file, should_stop=change_once, events=events)
    assert "It changed while it was read" in _reasons(added)["a.txt"]
    with Library(folder) as library:
        assert library.counts().pages == 1
    assert _add(folder, file).indexed == 1
    _assert_whole(folder)


def test_f29_hostile_names_work_and_are_shown_on_one_line(tmp_path):
    papers, folder = tmp_path / "papers", tmp_path / "library"
    papers.mkdir()
    names = [b"\xe2\x80\xaefdp.owl.txt", b"two\nlines.txt", b"caf\xe9.txt", b"n" * 251 + b".txt"]
    for number, name in enumerate(names):
        (papers / os.fsdecode(name)).write_text(f"owl number {number}\n")
    added = _add(folder, papers)
    assert (added.indexed, added.skipped) == (4, ())
    with Library(folder) as library:
        shown = {passage.file for passage in ask(library, "owl number").passages}
        assert shown == {
            "\\u202efdp.owl.txt", "two\\x0alines.txt", "caf\\xe9.txt", "n" * 251 + ".txt"
        }
    assert {path.name for path in folder.iterdir()} <= {
        DATABASE, BACKUP, LOCK, f"{DATABASE}-wal", f"{DATABASE}-shm"
    }


def test_f24_a_long_document_is_usable_from_its_first_pages_and_stops_within_a_second(tmp_path):
    book, folder = tmp_path / "book.pdf", tmp_path / "library"
    book.write_bytes(document([line(50, 700, f"The owl of page {n}.") for n in range(1, 2001)]))
    asked: list[float] = []
    events: list[Event] = []

    def stop_after_first_pages() -> bool:
        told = [event.step for event in events if isinstance(event, Progress)]
        if told and not asked:
            asked.append(time.monotonic())
            with Library(folder) as library:
                answer = ask(library, "owl of page 7", k=3)
            assert answer.passages[0].page == 7
            assert told[-1] <= answer.pages_indexed < answer.pages == 2000
        return bool(asked)

    with pytest.raises(Stopped):
        _add(folder, book, events=events, should_stop=stop_after_first_pages)
    assert time.monotonic() - asked[0] < 1
    with Library(folder) as library:
        kept = library.counts()
    assert 0 < kept.pages_indexed < kept.pages == 2000
    first = [event for event in events if isinstance(event, Progress)]
    assert kept.pages_indexed >= first[-1].step
    events.clear()
    assert _add(folder, book, events=events).pages == 2000
    resumed = next(event for event in events if isinstance(event, Progress))
    assert resumed.step > kept.pages_indexed  # it went on behind what was kept
    _assert_whole(folder)


def test_progress_tells_pages_a_second_and_the_time_left(tmp_path):
    book = _text_file(tmp_path / "book.txt", 3000)
    events: list[Event] = []
    _add(tmp_path / "library", book, events=events)
    told = [event for event in events if isinstance(event, Progress)]
    assert told[-1].step == told[-1].steps == 3000
    assert told[-1].remaining_s == 0
    assert all(event.pages_per_s for event in told)
    assert [event.step for event in told] == sorted(event.step for event in told)


def test_a_second_writer_waits_for_its_turn_and_says_so(tmp_path):
    file, folder = _text_file(tmp_path / "a.txt", 1), tmp_path / "library"
    folder.mkdir()
    events: list[Event] = []
    lock = FileLock(folder / LOCK)
    lock.acquire()

    def release_when_told() -> bool:
        if any(isinstance(event, Note) for event in events):
            lock.release()
        return False

    assert _add(folder, file, events=events, should_stop=release_when_told).indexed == 1
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert note.startswith("Another program is adding documents to this library")


def test_two_programs_add_to_one_library_at_once_and_nothing_is_lost(tmp_path):
    folder = tmp_path / "library"
    children = []
    for word in ("owl", "mouse"):
        papers = tmp_path / word
        papers.mkdir()
        for number in range(15):
            _text_file(papers / f"{number}.txt", number + 1, word)
        children.append(_child(folder, papers))
    assert [child.wait(60) for child in children] == [0, 0]
    _close(children)
    with Library(folder) as library:
        assert library.counts().pages == library.counts().pages_indexed == 240
    _assert_whole(folder)


_CHILD = """
import json, sys
from pathlib import Path
from converters.events import Progress
from desktop.documents.ingest import Request, add_documents
def report(event):
    if isinstance(event, Progress):
        print(json.dumps(event.step), flush=True)
if __name__ == "__main__":
    add_documents(Request(Path(sys.argv[1]), (Path(sys.argv[2]),)), report, lambda: False)
"""


def _child(folder: Path, papers: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder), str(papers)], stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )


def _close(children: Sequence[subprocess.Popen[str]]) -> None:
    for child in children:
        if child.stdout is not None:
            child.stdout.close()


def _papers(tmp_path: Path) -> Path:
    papers = tmp_path / "papers"
    papers.mkdir()
    for number in range(30):
        pages = [line(50, 700, f"owl {number} of page {n}") for n in range(1, 21)]
        (papers / f"{number:02d}.pdf").write_bytes(document(pages))
    book = [line(50, 700, f"the book of page {n}") for n in range(1, 401)]
    (papers / "book.pdf").write_bytes(document(book))
    return papers


def _killed(folder: Path, papers: Path, after_s: float) -> int:
    """Kill an addition and return the pages that it had reported; FINISHED if it ended before."""
    child = _child(folder, papers)
    try:
        code = child.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        code = FINISHED
    assert child.stdout is not None
    told = [json.loads(text) for text in child.stdout.read().splitlines()]
    child.stdout.close()
    assert code in (0, FINISHED)
    return FINISHED if code == 0 else max(told, default=0)


def _kill_many(tmp_path: Path, kills: int) -> None:
    """Additions are killed at random moments; what was told stays, and is not read again."""
    papers, folder = _papers(tmp_path), tmp_path / "library"
    generator = random.Random(5)
    pages: dict[int, int] = {}
    whole = done = 0
    while done < kills:
        told = _killed(folder, papers, generator.uniform(0.4, 1.4))
        if not (folder / DATABASE).exists():
            continue  # killed before it began
        _assert_whole(folder)
        if told == FINISHED:
            shutil.rmtree(folder)  # anew: there is nothing left to interrupt
            pages, whole = {}, 0
            continue
        done += 1
        documents = _documents(folder)
        now = {document: count for document, count, _ in documents}
        assert all(now.get(document, -1) >= count for document, count in pages.items())
        assert sum(now.values()) >= whole + told
        pages, whole = now, sum(count for _, count, is_whole in documents if is_whole)
    added = _add(folder, papers)
    assert (added.pages, added.skipped) == (1000, ())
    now = {document: count for document, count, _ in _documents(folder)}
    assert all(now[document] >= count for document, count in pages.items())
    _assert_whole(folder)


@pytest.mark.slow
def test_r11_three_kills_lose_nothing_that_was_told(tmp_path):
    _kill_many(tmp_path, 3)


@pytest.mark.slow
def test_r11_fifty_kills_lose_nothing_that_was_told(tmp_path):
    """Slow: fifty real additions, about a second each."""
    _kill_many(tmp_path, 50)


@pytest.mark.data
def test_real_documents_are_read_searched_and_located(tmp_path, data_folder):
    source = data_folder / "uda_sample"
    files = [source / "ABMD_2012.pdf", source / "1909.00754.pdf"]
    folder = tmp_path / "library"
    added = _add(folder, *files)
    assert (added.indexed, added.skipped) == (2, ())
    with Library(folder) as library:
        answer = ask(library, "What is the total of assets of Abiomed?", k=3)
        assert answer.passages[0].file == "ABMD_2012.pdf"
        assert "Total assets" in answer.passages[0].text
        assert answer.passages[0].rects
        x0, y0, x1, y1 = answer.passages[0].rects[0]
        assert 0 <= x0 < x1 <= 700
        assert 0 <= y0 < y1 <= 900
        pinned = ask(library, "attention", file="1909")
        assert {passage.file for passage in pinned.passages} == {"1909.00754.pdf"}
        assert pinned.searched == ("1909.00754.pdf",)
