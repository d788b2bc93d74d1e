"""Files and folders that a person names -> a sorted list of files, with what is left out and why.

Folders are walked without following links to folders; hidden ones and hidden files are passed
over. Nothing is opened: a pipe would wait for ever.
"""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from converters.errors import Stopped, UserError
from desktop.documents.file_names import key_of, shown_path


@dataclass(frozen=True)
class FoundFile:
    """A file's place, its size in bytes and its time of change."""

    key: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class LeftOut:
    """A file that is not searched, and why; name and path as they are shown."""

    key: bytes
    reason: str


@dataclass(frozen=True)
class Found:
    """files: sorted by path, each once. hidden_files: how many were passed over, without those of
    hidden folders."""

    files: tuple[FoundFile, ...]
    left_out: tuple[LeftOut, ...]
    hidden_files: int = 0


def find_files(paths: Iterable[Path], should_stop: Callable[[], bool]) -> Found:
    """Every file at or below `paths`. Raises UserError if one of them is not there, Stopped."""
    files: dict[bytes, FoundFile] = {}
    left_out: dict[bytes, LeftOut] = {}
    hidden: set[bytes] = set()
    for path in paths:
        if not os.path.lexists(path):
            raise UserError(
                "A file or folder was not found.",
                f"There is nothing at {shown_path(os.fsencode(path))}. Nothing was added.",
                "Check the path.",
            )
        for place in _walk(path, should_stop, left_out, hidden):
            _take(place, files, left_out)
    return Found(
        tuple(files[key] for key in sorted(files)),
        tuple(left_out[key] for key in sorted(left_out)),
        len(hidden - files.keys()),  # one that was named by itself is among the files
    )


def look_at(key: bytes) -> FoundFile:
    """The file as it is now. Raises OSError."""
    now = os.stat(key)  # noqa: PTH116 - bytes, as the library keeps them
    return FoundFile(key, now.st_size, now.st_mtime_ns)


def _walk(
    path: Path, should_stop: Callable[[], bool], left_out: dict[bytes, LeftOut],
    hidden: set[bytes],
) -> Iterable[Path]:
    if not path.is_dir():
        yield path
        return

    def note(error: OSError) -> None:
        key = key_of(Path(error.filename))
        left_out[key] = LeftOut(key, f"The folder cannot be read: {error.strerror}.")

    for folder, folders, names in path.walk(on_error=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if should_stop():
                raise Stopped
            if name.startswith("."):
                hidden.add(key_of(folder / name))
            else:
                yield folder / name


def _take(place: Path, files: dict[bytes, FoundFile], left_out: dict[bytes, LeftOut]) -> None:
    key = key_of(place)
    try:
        mode = os.stat(key).st_mode  # noqa: PTH116
        if stat.S_ISREG(mode):
            files[key] = look_at(key)
            return
        reason = (
            "A link to a folder, which is not followed."
            if stat.S_ISDIR(mode)
            else ("It is no regular file.")
        )
    except OSError as error:
        reason = f"It cannot be reached: {error.strerror}."
    left_out[key] = LeftOut(key, reason)
