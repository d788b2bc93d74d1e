"""The last good copy of a library: made after each addition, put back when the file is damaged.

Nothing is ever deleted here: a damaged file is moved aside under a name that is told (FAULTS F35).
"""

from datetime import UTC, datetime
from pathlib import Path

from converters.errors import UserError
from desktop.core.sqlite_file import copy_back, is_good, keep_backup, move_aside
from desktop.documents.database import LibraryDamaged

__all__ = ["BACKUP", "DATABASE", "LOCK", "keep_backup", "put_back", "restore"]

DATABASE, BACKUP, LOCK = "library.sqlite", "library.backup.sqlite", "ingest.lock"
_LOCK_S = 0.5


def restore(folder: Path, damage: LibraryDamaged) -> str:
    """Move the damaged file of a library aside and put its last good copy back.

    Returns what was done, for the person. Raises UserError without a good copy, or while another
    program writes to the library.
    """
    from filelock import FileLock, Timeout  # only damage needs it, and it loads asyncio

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
    aside = move_aside(folder / DATABASE, "damaged")
    backup = folder / BACKUP
    if not is_good(backup):
        raise UserError(
            damage.title,
            f"{damage.detail} There is no good backup of it. The damaged file was kept as {aside}.",
            "Add the documents again with `tunedesk library add`.",
        ) from damage
    made = datetime.fromtimestamp(backup.stat().st_mtime, UTC)
    copy_back(backup, folder / DATABASE)
    kept = f"The damaged file was kept as {aside}. " if aside.exists() else ""
    return (
        f"The library was damaged; its backup of {made:%Y-%m-%d %H:%M} UTC ({backup}) was "
        f"restored. {kept}Documents that were added after the backup must be added again."
    )
