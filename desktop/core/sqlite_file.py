"""A SQLite file of ours: opened, written durably, checked, copied, moved aside when it is damaged.

Write-ahead log and a full sync: what was committed outlives a kill and a power cut, and readers
never wait for the one writer. Knows no table, and no words for a person.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from converters.durable_files import STAGED_SUFFIX, fsync_folder, staged_file

BUSY_S = 10.0
HELPERS = ("", "-wal", "-shm")
Trouble = Literal["damaged", "full", "busy", "closed", "io"]
_CACHE = f"PRAGMA cache_size = -{32 * 1024}"  # KiB
_WRITING = (
    "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON", _CACHE,
)  # fmt: skip
_READING = ("PRAGMA query_only = ON", _CACHE, "SELECT count(*) FROM sqlite_master")
_ROOM_BYTES = 1 << 20
_PAGES_A_STEP = 2_000
_COPIED_BYTES = 1 << 20
_CODES: dict[int, Trouble] = {
    sqlite3.SQLITE_CORRUPT: "damaged", sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_FORMAT: "damaged", sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "busy", sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_READONLY: "closed", sqlite3.SQLITE_CANTOPEN: "closed",
    sqlite3.SQLITE_PERM: "closed", sqlite3.SQLITE_IOERR: "io",
}  # fmt: skip


def connect(path: Path, *, may_write: bool) -> sqlite3.Connection:
    """Open or, with may_write, make the file at `path`. Statements commit by themselves.

    Without may_write no statement can change anything, and a file can be read that lies on a
    read-only or a full disk.
    """
    if may_write:
        make_private(path)
        return _opened(path, "mode=rw", *_WRITING)
    try:
        return _opened(path, "mode=rw", *_READING)
    except sqlite3.OperationalError:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        # There is no room for the log's helper file; nobody writes there, so none is needed.
        return _opened(path, "mode=ro&immutable=1", *_READING)


def _opened(path: Path, options: str, *settings: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}", uri=True, timeout=BUSY_S, isolation_level=None
    )
    try:
        for setting in settings:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read; an existing one stays as it is."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@contextmanager
def unhurried(connection: sqlite3.Connection) -> Iterator[None]:
    """What the block commits outlives a kill at once, and a power cut with the next commit after
    it: the disk is not waited for."""
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is kept, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def trouble(path: Path, error: sqlite3.DatabaseError) -> Trouble | None:
    """What kind of fault of the file or its disk an error is; None for a bug of ours."""
    if "Could not decode to UTF-8" in str(error):  # Python's own words, without a code
        return "damaged"
    kind = _CODES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    # SQLite calls a full disk an I/O error where the log's helper file cannot grow.
    is_full = kind == "io" and shutil.disk_usage(path.parent).free < _ROOM_BYTES
    return "full" if is_full else kind


def is_sound(connection: sqlite3.Connection) -> bool:
    """SQLite's quick check of all pages of the file."""
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError:
        return False
    return found is not None and found[0] == "ok"


def is_good(path: Path) -> bool:
    """Whether there is a file at `path` that can be opened and is sound."""
    if not path.exists():
        return False
    try:
        with closing(connect(path, may_write=False)) as connection:
            return is_sound(connection)
    except sqlite3.DatabaseError:
        return False


def stored_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file once all that is in its log has its place."""
    count = connection.execute("PRAGMA page_count").fetchone()[0]
    return count * connection.execute("PRAGMA page_size").fetchone()[0]


def version_of(connection: sqlite3.Connection) -> int:
    """How many of its migrations made the file; 0 for an empty one."""
    return connection.execute("PRAGMA user_version").fetchone()[0]


def is_ours(connection: sqlite3.Connection, application_id: int) -> bool:
    """Whether the file has this id, or is empty and so may become such a file."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return found == application_id if tables else version_of(connection) == 0


def migrate(connection: sqlite3.Connection, application_id: int, scripts: Sequence[str]) -> None:
    """Bring an older file to the newest version, in one transaction: all of it or nothing."""
    steps = "".join(scripts[version_of(connection) :])
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA application_id = {application_id}; "
            f"PRAGMA user_version = {len(scripts)}; COMMIT;"
        )
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def keep_backup(
    connection: sqlite3.Connection, target: Path, on_step: Callable[[], None] = lambda: None
) -> None:
    """Copy the open file to `target`, durably; an earlier copy stays until this one is whole.

    on_step is called every 8 MB; what it raises ends the copying.
    """
    staged = target.with_name(target.name + STAGED_SUFFIX)
    staged.unlink(missing_ok=True)
    try:
        make_private(staged)
        with closing(sqlite3.connect(staged)) as copy:
            connection.backup(copy, pages=_PAGES_A_STEP, progress=lambda *_: on_step())
            copy.execute("PRAGMA journal_mode = DELETE")
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        staged.replace(target)
    except BaseException:
        for helper in HELPERS:
            with suppress(OSError):
                staged.with_name(staged.name + helper).unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)


def copy_back(backup: Path, path: Path) -> None:
    """Make `path` a durable copy of a backup, which stays."""
    with backup.open("rb") as source, staged_file(path) as file:
        while piece := source.read(_COPIED_BYTES):
            file.write(piece)


def move_aside(path: Path, stem: str) -> Path:
    """Rename the file and its helpers to the first free `<stem>-<n>.sqlite` beside it."""
    number = 1
    while (aside := path.with_name(f"{stem}-{number}.sqlite")).exists():
        number += 1
    for helper in HELPERS:
        source = path.with_name(path.name + helper)
        if source.exists():
            source.rename(path.with_name(aside.name + helper))
    fsync_folder(path.parent)
    return aside
