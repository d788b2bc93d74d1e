"""Files out of a library, or a whole library; never the files themselves.

The text goes from the database and, with the next addition, from its backup.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from converters.errors import UserError
from desktop.documents.additions import Additions
from desktop.documents.backup import BACKUP, LOCK, keep_backup
from desktop.documents.file_names import key_of, shown_path
from desktop.documents.library import StoredFile, opened_for_writing
from desktop.documents.shelf import Place

_LOCK_S = 0.5
_GONE = ".deleted-"


def remove_files(
    folder: Path, names: Sequence[str], on_repair: Callable[[str], None]
) -> list[bytes]:
    """Remove the files that go by these names, paths, or folders; which ones went.

    Raises UserError if a name fits none, or several in different folders; then nothing is removed.
    """
    with _turn(folder), opened_for_writing(folder, on_repair) as library:
        files = library.files()
        keys = list(dict.fromkeys(key for name in names for key in _meant(files, name)))
        Additions(library).forget(keys)
        keep_backup(library.connection, folder / BACKUP)  # what was removed must not come back
    return keys


def remove_library(place: Place) -> int:
    """Remove a library's folder; the bytes that this frees."""
    with _turn(place.folder):
        freed = place.size_bytes
        # Renamed first: a removal that is cut off leaves nothing that looks like a library.
        gone = place.folder.with_name(_GONE + place.folder.name)
        place.folder.rename(gone)
    for leftover in place.folder.parent.glob(f"{_GONE}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return freed


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / LOCK).acquire(timeout=_LOCK_S):
            yield
    except Timeout:
        raise UserError(
            "Documents are being added to this library.", "Nothing was removed.",
            "Wait for that job or stop it (`tunedesk jobs`), then try again.",
        ) from None


def _meant(files: Sequence[StoredFile], name: str) -> list[bytes]:
    key = key_of(Path(name))
    below = [file.path for file in files if file.path.startswith(key + os.fsencode(os.sep))]
    exact = [file.path for file in files if file.path == key or shown_path(file.path) == name]
    named = [file.path for file in files if file.name == name]
    found = exact or below or named
    if not found:
        raise UserError(
            f'The library has no file "{name}".', "Nothing was removed.",
            "`tunedesk library list --library NAME` shows its files.",
        )
    if len(found) > 1 and not below:
        listed = ", ".join(map(shown_path, found))
        raise UserError(
            f'"{name}" names {len(found)} files.', f"They are {listed}. Nothing was removed.",
            "Name one of them with its folder.",
        )
    return found
