"""A library keeps what it was given; damage, newer and older versions end in words (F35)."""

import random
import sqlite3
from contextlib import closing

import pytest
from filelock import FileLock

from converters.errors import UserError
from desktop.documents import library as library_module
from desktop.documents.additions import Additions
from desktop.documents.backup import BACKUP, DATABASE, LOCK, keep_backup
from desktop.documents.database import LibraryDamaged
from desktop.documents.library import Library, opened_for_writing, with_library
from desktop.documents.schema import MIGRATIONS
from tests.desktop.documents import stored

OWL = ["The owl hunts at night.\nIt eats mice.\n", "The nest is in a barn.\n"]
NEXT = len(MIGRATIONS) + 1
ACME = ["Acme annual report 2018\n", "Net sales 342 310\n"]


def _tables(library: Library) -> dict[str, int]:
    names = ("documents", "pages", "chunks", "postings", "document_terms", "letters")
    return {
        name: library.connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in names
    }


def _found(library: Library, word: str) -> int:
    return library.connection.execute(
        "SELECT count(*) FROM words WHERE words MATCH ?", (word,)
    ).fetchone()[0]


def _with_backup(folder):
    stored.library(folder, owl=OWL)
    with Library(folder, may_write=True) as library:
        keep_backup(library.connection, folder / BACKUP)


def test_what_was_added_is_listed_counted_and_read_back(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL, acme=ACME)
    with Library(folder) as library:
        acme, owl = library.files()
        assert (acme.name, acme.state, acme.page_count, acme.pages_read) == (
            "acme.pdf", "indexed", 2, 2
        )
        counts = library.counts()
        assert (counts.files, counts.documents, counts.pages, counts.pages_indexed) == (2, 2, 4, 4)
        assert owl.document is not None
        assert library.page(owl.document, 1).text == OWL[0]


def test_two_files_of_the_same_content_share_one_document(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL, copy=OWL)
    with Library(folder, may_write=True) as library:
        assert (library.counts().files, library.counts().documents) == (2, 1)
        Additions(library).forget([b"/papers/owl.pdf"])
        assert (library.counts().files, library.counts().documents) == (1, 1)
        Additions(library).forget([b"/papers/copy.pdf"])
        assert set(_tables(library).values()) == {0}
        assert _found(library, "owl") == 0
        library.connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")


def test_a_document_stored_in_parts_counts_as_one_stored_at_once(tmp_path):
    texts = [f"page {number} of the report 2016 owl\n" for number in range(7)]
    tables = []
    for batch in (100, 2):
        with Library(tmp_path, may_write=True) as library:
            stored.add(library, "a.pdf", texts, batch=batch)
            row = library.connection.execute(
                "SELECT text_pages, front_size, whole_size, years FROM documents"
            ).fetchone()
            terms = library.connection.execute(
                "SELECT stem, whole, front FROM document_terms"
            ).fetchall()
            tables.append((row, terms))
            Additions(library).forget([b"/papers/a.pdf"])
    assert tables[0] == tables[1]
    assert tables[0][0][3] == '{"2016": 7}'


def test_a_reader_cannot_change_anything(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL)
    with Library(folder) as library, pytest.raises(sqlite3.OperationalError):
        library.connection.execute("DELETE FROM pages")


def test_the_files_are_their_owners_alone(tmp_path):
    _with_backup(tmp_path)
    assert (tmp_path / DATABASE).stat().st_mode & 0o77 == 0
    assert (tmp_path / BACKUP).stat().st_mode & 0o77 == 0


def test_f35_a_library_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL)
    with Library(folder, may_write=True, migrations=[*MIGRATIONS, "CREATE TABLE later (x);"]):
        pass
    before = (folder / DATABASE).read_bytes()
    for may_write in (False, True):
        with pytest.raises(UserError) as caught, Library(folder, may_write=may_write):
            pass
        assert caught.value.title == "The library was made by a newer version of the program."
        versions = f"has version {NEXT}; this program knows {NEXT - 1}"
        assert f"{versions}. Nothing was changed." in caught.value.detail
    assert (folder / DATABASE).read_bytes() == before


@pytest.mark.parametrize("may_write", [False, True])
def test_r13_an_older_library_is_backed_up_then_brought_up_to_date(tmp_path, may_write):
    folder = stored.library(tmp_path / "l", owl=OWL)
    newer = [*MIGRATIONS, "ALTER TABLE documents ADD COLUMN language TEXT;"]
    with Library(folder, may_write=may_write, migrations=newer) as library:
        assert library.connection.execute("SELECT language FROM documents").fetchall() == [(None,)]
        assert library.counts().pages == 2
    with closing(sqlite3.connect(folder / f"before-version-{NEXT}.sqlite")) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (NEXT - 1,)
        assert old.execute("SELECT count(*) FROM pages").fetchone() == (2,)


def test_r13_two_programs_do_not_bring_a_library_up_to_date_at_once(tmp_path, monkeypatch):
    folder = stored.library(tmp_path / "l", owl=OWL)
    newer = [*MIGRATIONS, "ALTER TABLE documents ADD COLUMN language TEXT;"]
    monkeypatch.setattr(library_module, "MIGRATION_S", 0.1)
    with FileLock(folder / LOCK):
        with pytest.raises(UserError) as caught, Library(folder, migrations=newer):
            pass
        assert caught.value.title == "The library is of an older version and in use."
    with Library(folder, migrations=newer) as library:
        assert library.counts().pages == 2


def test_r13_a_migration_that_fails_half_way_changes_nothing(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL)
    broken = [*MIGRATIONS, "CREATE TABLE later (x); INSERT INTO nowhere VALUES (1);"]
    with pytest.raises(sqlite3.OperationalError), Library(
        folder, may_write=True, migrations=broken
    ):
        pass
    with Library(folder) as library:
        assert library.counts().pages == 2
        tables = library.connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("later",) not in tables


DAMAGES = ["cut in half", "no database", "empty header", "flipped bits"]


def _damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "cut in half":
        data = data[: len(data) // 2]
    elif how == "no database":
        data[:] = b"this is no database at all" * 100
    elif how == "empty header":
        data[:100] = bytes(100)
    else:
        generator = random.Random(7)
        for _ in range(400):
            data[generator.randrange(100, len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("how", DAMAGES)
def test_f35_a_damaged_library_is_replaced_by_its_last_good_copy_which_is_named(tmp_path, how):
    _with_backup(tmp_path)
    _damage(tmp_path / DATABASE, how)
    damaged = (tmp_path / DATABASE).read_bytes()
    told: list[str] = []
    with opened_for_writing(tmp_path, told.append) as library:
        assert library.counts().pages == 2
        assert _found(library, "owl") == 1
    (text,) = told
    assert text.startswith("The library was damaged; its backup of 20")
    assert str(tmp_path / BACKUP) in text
    assert str(tmp_path / "damaged-1.sqlite") in text
    assert (tmp_path / "damaged-1.sqlite").read_bytes() == damaged


def test_f35_a_question_to_a_damaged_library_is_answered_from_its_last_good_copy(tmp_path):
    _with_backup(tmp_path)
    _damage(tmp_path / DATABASE, "no database")
    told: list[str] = []
    assert with_library(tmp_path, lambda library: library.counts().pages, told.append) == 2
    assert "was restored" in told[0]


def test_f35_without_a_backup_the_damaged_file_is_kept_and_named(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL)
    _damage(folder / DATABASE, "cut in half")
    with pytest.raises(UserError) as caught:
        opened_for_writing(folder, print)
    assert caught.value.title == "The library is damaged."
    assert str(folder / "damaged-1.sqlite") in caught.value.detail
    assert "Add the documents again" in caught.value.hint
    with opened_for_writing(folder, print) as library:
        assert library.counts().pages == 0


def test_f35_a_changed_letter_of_a_page_is_found_when_it_is_read(tmp_path):
    folder = stored.library(tmp_path / "l", owl=OWL)
    path = folder / DATABASE
    path.write_bytes(path.read_bytes().replace(b"eats mice", b"eats rice"))
    with Library(folder) as library, pytest.raises(LibraryDamaged) as caught:
        library.page(1, 1)
    assert "the text of a page of document 1 changed" in caught.value.detail


def test_a_file_of_another_program_is_not_touched(tmp_path):
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("CREATE TABLE notes (text)")
        other.commit()
    with pytest.raises(LibraryDamaged), Library(tmp_path):
        pass


def test_a_library_that_is_not_there_is_said_to_be_empty(tmp_path):
    with pytest.raises(UserError) as caught, Library(tmp_path):
        pass
    assert caught.value.title == "The library is empty."
