"""F6 for libraries: a disk that fills up while documents are added, at each 5 % of what is needed.

Whatever was indexed before stays and can be searched; the words name the free room; with room
again the same command goes on.
"""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.events import Event, Note, Progress
from desktop.documents.backup import BACKUP, DATABASE
from desktop.documents.ingest import Added, Request, add_documents
from desktop.documents.library import Library
from desktop.documents.passages import ask
from tests.faults.folders import leftovers
from tests.faults.small_disk import POINTS, free_up, leave_free, small_disk

PAGES = 400
SIZE_BYTES = 64 << 20
pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten books of 40 pages of 1,500 characters."""
    folder = tmp_path_factory.mktemp("papers")
    for book in range(10):
        pages = [
            "".join(f"line {row} of page {page} in book {book}: owl{row * page}\n"
                    for row in range(40))
            for page in range(1, PAGES // 10 + 1)
        ]  # fmt: skip
        (folder / f"book{book}.txt").write_text("\f".join(pages))
    return folder


@pytest.fixture(scope="module")
def needed(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Bytes that the library takes, without its backup."""
    folder = tmp_path_factory.mktemp("whole")
    _add(folder, papers)
    return (folder / DATABASE).stat().st_size


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", SIZE_BYTES) as place:
        yield place


def _add(folder: Path, papers: Path, events: list[Event] | None = None) -> Added:
    told: list[Event] = [] if events is None else events
    return add_documents(Request(folder, (papers,)), told.append, lambda: False)


def test_f6_a_full_disk_pauses_an_addition_at_every_point(
    disk: Path, papers: Path, needed: int
) -> None:
    paused, estimates = 0, list[float]()
    for percent in POINTS:
        folder = disk / f"library{percent}"
        leave_free(disk, needed * percent // 100)
        events: list[Event] = []
        with pytest.raises((UserError, OSError)) as caught:
            _add(folder, papers, events)
        told = max((event.step for event in events if isinstance(event, Progress)), default=0)
        if isinstance(caught.value, UserError):
            paused += 1
            assert caught.value.title == "Paused: the disk is full."
            assert "MB are free" in caught.value.detail
            if "about" in caught.value.detail:
                estimates.append(_missing(caught.value) / (needed * (100 - percent) / 100))
        free_up(disk)
        if (folder / DATABASE).exists():
            with Library(folder, may_write=True) as library:
                assert library.counts().pages_indexed >= told
        assert _add(folder, papers).pages == PAGES
        _assert_whole(folder)
        for path in folder.iterdir():
            path.unlink()
    assert paused >= len(POINTS) - 2
    assert len(estimates) >= 5
    assert 0.5 < sorted(estimates)[len(estimates) // 2] < 2


def _missing(error: UserError) -> float:
    """The bytes that "The library needs about 3.1 MB more room" tells."""
    return 1e6 * float(error.detail.split("about ")[1].split(" MB")[0])


def test_f6_what_was_indexed_before_can_be_searched_on_a_full_disk(
    disk: Path, papers: Path, needed: int
) -> None:
    folder = disk / "library"
    _add(folder, papers / "book0.txt")
    leave_free(disk, needed // 10)
    with pytest.raises(UserError):
        _add(folder, papers)
    leave_free(disk, 0)
    with Library(folder) as library:
        assert ask(library, "page 7 in book 0", file="book0").passages[0].page == 7
    assert leftovers(folder) == []


def test_f6_without_room_for_a_backup_the_addition_counts_and_the_earlier_backup_stays(
    disk: Path, papers: Path, needed: int
) -> None:
    folder = disk / "library"
    _add(folder, papers / "book0.txt")
    backup = (folder / BACKUP).read_bytes()
    events: list[Event] = []

    def fill_up_when_all_is_stored(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.step == 40:
            leave_free(disk, needed // 20)

    request = Request(folder, (papers / "book1.txt",))
    assert add_documents(request, fill_up_when_all_is_stored, lambda: False).indexed == 1
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert note.startswith("No new backup of the library was made. Paused: the disk is full.")
    assert leftovers(folder) == []
    assert (folder / BACKUP).read_bytes() == backup
    with Library(folder) as library:
        assert library.counts().pages_indexed == 80


def test_f30_a_library_on_a_read_only_disk_can_be_searched_but_not_added_to(
    disk: Path, papers: Path
) -> None:
    folder = disk / "library"
    _add(folder, papers / "book0.txt")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        with Library(folder) as library:
            assert ask(library, "page 7 in book 0").passages[0].page == 7
        with pytest.raises(OSError, match="Read-only file system"):
            _add(folder, papers)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def _assert_whole(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as base:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
