"""Conversations' one SQLite file: opened, brought to the newest version, repaired, in words.

A damaged file is moved aside and its last good copy put back (FAULTS F35); deleting a conversation
makes the copy anew, so that it is gone there too.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from converters.errors import UserError
from desktop.chat.schema import APPLICATION_ID, MIGRATIONS
from desktop.core import sqlite_file

FILE, BACKUP, ASIDE = "conversations.sqlite", "conversations.backup.sqlite", "conversations-damaged"
_COPY_AGE_S = 24 * 3600.0
_TITLE = "The conversations cannot be used."


class ConversationsDamaged(UserError):
    """The file is no database, or one with broken pages."""


def opened(
    path: Path, on_repair: Callable[[str], None], migrations: Sequence[str] = MIGRATIONS
) -> sqlite3.Connection:
    """Open or make the file. A damaged one is replaced by its last good copy, and that is told.

    Raises UserError: a newer version, no permission, damage without a good copy.
    """
    try:
        return _open(path, migrations)
    except ConversationsDamaged as damage:
        on_repair(_put_back(path, damage))
        return _open(path, migrations)


def opened_for_reading(
    path: Path, migrations: Sequence[str] = MIGRATIONS
) -> sqlite3.Connection:
    """Open the file where nothing can be written. Raises UserError: not there, another version."""
    if not path.exists():
        raise UserError("There is no conversation yet.", f"{path} is not there.", "")
    with in_words(path):
        connection = sqlite_file.connect(path, may_write=False)
        try:
            _require_readable(connection, path, len(migrations))
        except BaseException:
            connection.close()
            raise
    return connection


def keep_copy(connection: sqlite3.Connection, path: Path) -> None:
    """Make the last good copy anew, from a file that was found sound."""
    with in_words(path):
        sqlite_file.keep_backup(connection, path.with_name(BACKUP))


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn what SQLite raises inside the block into a UserError (ConversationsDamaged)."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        known = _known(path, error)
        if known is None:
            raise
        raise known from error


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    with in_words(path):
        try:
            connection = sqlite_file.connect(path, may_write=True)
        except OSError as error:
            raise UserError(
                "The conversations cannot be kept.", f"{path}: {error.strerror}.",
                "Choose another folder with --home or TUNEDESK_HOME.",
            ) from error
        try:
            connection.execute("PRAGMA secure_delete = ON")
            _use(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


def _require_readable(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    if not sqlite_file.is_ours(connection, APPLICATION_ID):
        raise ConversationsDamaged(_TITLE, f"{path} is no file of conversations.", "")
    if (version := sqlite_file.version_of(connection)) != newest:
        raise UserError(
            "The conversations are of another version of the program.",
            f"{path} has version {version}, this program {newest}, and nothing can be written "
            "there.",
            "Make the folder writable, or choose another with --home.",
        )


def _use(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    if not sqlite_file.is_ours(connection, APPLICATION_ID):
        raise ConversationsDamaged(_TITLE, f"{path} is no file of conversations.", "")
    version = sqlite_file.version_of(connection)
    if version > len(migrations):
        raise UserError(
            "The conversations were made by a newer version of the program.",
            f"{path} has version {version}; this program knows {len(migrations)}. "
            "Nothing was changed.",
            "Update the program.",
        )
    if not sqlite_file.is_sound(connection):
        raise ConversationsDamaged(_TITLE, f"{path}: its check found broken pages.", "")
    if version < len(migrations):
        if version:
            name = f"conversations.before-version-{len(migrations)}.sqlite"
            sqlite_file.keep_backup(connection, path.with_name(name))
        sqlite_file.migrate(connection, APPLICATION_ID, migrations)
    if version and _copy_age_s(path) > _COPY_AGE_S:
        sqlite_file.keep_backup(connection, path.with_name(BACKUP))


def _copy_age_s(path: Path) -> float:
    copy = path.with_name(BACKUP)
    # A clock that went back makes a copy from the future: as good as none.
    age = time.time() - copy.stat().st_mtime if copy.exists() else _COPY_AGE_S + 1
    return age if age >= 0 else _COPY_AGE_S + 1


def _put_back(path: Path, damage: ConversationsDamaged) -> str:
    aside = sqlite_file.move_aside(path, ASIDE)
    copy = path.with_name(BACKUP)
    if not sqlite_file.is_good(copy):
        return (
            f"The conversations were damaged ({damage.detail}) and there is no good copy of them. "
            f"The damaged file was kept as {aside}; a new one was begun."
        )
    made = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
    sqlite_file.copy_back(copy, path)
    return (
        f"The conversations were damaged; their copy of {made:%Y-%m-%d %H:%M} UTC was restored. "
        f"The damaged file was kept as {aside}. What was said after the copy is in that file only."
    )


def _known(path: Path, error: sqlite3.DatabaseError) -> UserError | None:
    match sqlite_file.trouble(path, error):
        case "damaged":
            return ConversationsDamaged(_TITLE, f"{path}: {error}.", "")
        case "full":
            free = shutil.disk_usage(path.parent).free
            return UserError(
                "The conversation cannot be kept: the disk is full.",
                f"{free / 1e6:,.1f} MB are free at {path.parent}. What was kept before stays.",
                "Free some space, then send the message again.",
            )
        case "busy":
            return UserError(
                "Another program is writing conversations.",
                f"{path} stayed locked for {sqlite_file.BUSY_S:.0f} s. Nothing was changed.",
                "Try again.",
            )
        case "closed" | "io":
            return UserError(
                "The conversation cannot be kept.", f"{path}: {error}.",
                "Check that the folder is yours and its disk is not read-only.",
            )
        case None:
            return None
