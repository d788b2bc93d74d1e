"""The SQLite file of a library as a connection, and what SQLite says of it in words.

Write-ahead log and a full sync: what was committed outlives a kill and a power cut, and readers
never wait for the one writer. Knows files and connections, no table.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.errors import UserError

BUSY_S = 10.0
_CACHE_KIB = 32 * 1024
_FULL, _IO = (sqlite3.SQLITE_FULL,), (sqlite3.SQLITE_IOERR,)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_CLOSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_ROOM_BYTES = 1 << 20


class LibraryDamaged(UserError):
    """The file is no database, or one with broken pages; see `backup.restore`."""


def connect(path: Path, *, may_write: bool) -> sqlite3.Connection:
    """Open or, with may_write, make the file at `path`. Statements commit by themselves.

    Without may_write no statement can change anything; a file on a read-only disk can be read.
    """
    is_fixed = not may_write and not os.access(path.parent, os.W_OK)
    # A read-only folder cannot take the helper files of the log; nobody else writes there either.
    if may_write:
        make_private(path)
    options = "mode=ro&immutable=1" if is_fixed else "mode=rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}", uri=True, timeout=BUSY_S, isolation_level=None
    )
    try:
        if may_write:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        else:
            connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read; an existing one stays as it is."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn what SQLite raises inside the block into a UserError (LibraryDamaged for damage)."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        known = _known(path, error)
        if known is None:
            raise
        raise known from error


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


def is_sound(connection: sqlite3.Connection) -> bool:
    """SQLite's quick check of all pages of the file."""
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError:
        return False
    return found is not None and found[0] == "ok"


def damaged(path: Path, detail: str) -> LibraryDamaged:
    """The error for a file that cannot be used as it is."""
    return LibraryDamaged("The library is damaged.", f"{path}: {detail}", "")


def _known(path: Path, error: sqlite3.DatabaseError) -> UserError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return damaged(path, f"{error}.")
    if code in _FULL or (code in _IO and _is_full(path)):
        free = shutil.disk_usage(path.parent).free
        return UserError(
            "Paused: the disk is full.",
            f"The library needs more room; {free / 1e6:,.1f} MB are free at {path.parent}. "
            "Every page that was reported as indexed is kept.",
            "Free some space, then run the same command again.",
        )
    if code in _BUSY:
        return UserError(
            "Another program is writing to this library.",
            f"{path} stayed locked for {BUSY_S:.0f} s. Nothing was changed.",
            "Try again later.",
        )
    if code in _CLOSED:
        return UserError(
            "The library cannot be written.",
            f"{path}: {error}. Nothing was changed.",
            "Check that the folder is yours and its disk is not read-only.",
        )
    if code in _IO:
        return UserError(
            "The library could not be read or written.",
            f"{path}: {error}.",
            "Check its disk, then run the same command again.",
        )
    return None


def _is_full(path: Path) -> bool:
    """SQLite calls a full disk an I/O error where the log's helper file cannot grow."""
    return shutil.disk_usage(path.parent).free < _ROOM_BYTES
