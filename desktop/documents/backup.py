"""The last good copy of a library: made after each addition, put back when the file is damaged.

Nothing is ever deleted here: a damaged file is moved aside under a name that is told (FAULTS F35).
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from converters.durable_files import STAGED_SUFFIX, fsync_folder, staged_file
from converters.errors import UserError
from desktop.documents.database import LibraryDamaged, connect, is_sound, make_private

DATABASE, BACKUP, LOCK = "library.sqlite", "library.backup.sqlite", "ingest.lock"
_HELPERS = ("", "-wal", "-shm")
_PAGES_A_STEP = 2_000
_COPIED_BYTES = 1 << 20
_LOCK_S = 0.5


def keep_backup(
    connection: sqlite3.Connection, target: Path, on_step: Callable[[], None] = lambda: None
) -> None:
    """Copy the open library to `target`, durably; an earlier copy stays until this one is whole.

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
        for helper in _HELPERS:
            with suppress(OSError):
                staged.with_name(staged.name + helper).unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)


def restore(folder: Path, damage: LibraryDamaged) -> str:
    """Move the damaged file of a library aside and put its last good copy back.

    Returns what was done, for the person. Raises UserError without a good copy, or while another
    program writes to the library.
    """
    try:
        with FileLock(folder / LOCK).acquire(timeout=_LOCK_S):
            return put_back(folder, damage)
    except Timeout:
        raise UserError(
            damage.title,
            f"{damage.detail} Another program is adding to it right now.",
            "Stop that job (`tunedesk jobs`), then try again.",
        ) from damage


def put_back(folder: Path, damage: LibraryDamaged) -> str:
    """As `restore`, for whoever holds the library's ingest lock already."""
    aside = _moved_aside(folder)
    backup = folder / BACKUP
    if not _is_good(backup):
        raise UserError(
            damage.title,
            f"{damage.detail} There is no good backup of it. The damaged file was kept as {aside}.",
            "Add the documents again with `tunedesk library add`.",
        ) from damage
    made = datetime.fromtimestamp(backup.stat().st_mtime, UTC)
    with backup.open("rb") as source, staged_file(folder / DATABASE) as file:
        while piece := source.read(_COPIED_BYTES):
            file.write(piece)
    return (
        f"The library was damaged; its backup of {made:%Y-%m-%d %H:%M} UTC ({backup}) was "
        f"restored. The damaged file was kept as {aside}. Documents that were added after the "
        "backup must be added again."
    )


def _moved_aside(folder: Path) -> Path:
    number = 1
    while (aside := folder / f"damaged-{number}.sqlite").exists():
        number += 1
    for helper in _HELPERS:
        source = folder / (DATABASE + helper)
        if source.exists():
            source.rename(folder / (aside.name + helper))
    fsync_folder(folder)
    return aside


def _is_good(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(connect(path, may_write=False)) as connection:
            return is_sound(connection)
    except sqlite3.DatabaseError:
        return False
