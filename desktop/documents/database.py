"""What SQLite says of a library's file, in words for a person. Knows files, no table."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.errors import UserError
from desktop.core.sqlite_file import (
    BUSY_S,
    connect,
    is_sound,
    make_private,
    stored_bytes,
    transaction,
    trouble,
)

__all__ = ["LibraryDamaged", "LibraryFull", "connect", "damaged", "in_words", "is_sound",
           "make_private", "stored_bytes", "transaction"]  # fmt: skip


class LibraryDamaged(UserError):
    """The file is no database, or one with broken pages; see `backup.restore`."""


class LibraryFull(UserError):
    """There is no room on the library's disk. needed: bytes that are missing, 0 if unknown."""

    def __init__(self, folder: Path, needed: int = 0) -> None:
        free = shutil.disk_usage(folder).free
        room = f"about {needed / 1e6:,.1f} MB more room" if needed else "more room"
        super().__init__(
            "Paused: the disk is full.",
            f"The library needs {room}; {free / 1e6:,.1f} MB are free at {folder}. "
            "Every page that was reported as indexed is kept.",
            "Free some space, then run the same command again.",
        )


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


def damaged(path: Path, detail: str) -> LibraryDamaged:
    """The error for a file that cannot be used as it is."""
    return LibraryDamaged("The library is damaged.", f"{path}: {detail}", "")


def _known(path: Path, error: sqlite3.DatabaseError) -> UserError | None:
    match trouble(path, error):
        case "damaged":
            return damaged(path, f"{error}.")
        case "full":
            return LibraryFull(path.parent)
        case "busy":
            return UserError(
                "Another program is writing to this library.",
                f"{path} stayed locked for {BUSY_S:.0f} s. Nothing was changed.",
                "Try again later.",
            )
        case "closed":
            return UserError(
                "The library cannot be written.",
                f"{path}: {error}. Nothing was changed.",
                "Check that the folder is yours and its disk is not read-only.",
            )
        case "io":
            return UserError(
                "The library could not be read or written.",
                f"{path}: {error}.",
                "Check its disk, then run the same command again.",
            )
        case None:
            return None
