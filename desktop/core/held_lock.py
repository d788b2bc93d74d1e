"""Whether some process holds a lock file, asked without getting in anybody's way."""

import os
import sys
from pathlib import Path


def is_held(path: Path) -> bool:
    """True while a process holds the `filelock.FileLock` at `path`; a missing file is not held.

    Two askers at once do not see each other, and the file is left as it is.
    """
    if not path.exists():
        return False
    return _is_held_elsewhere(path) if sys.platform == "win32" else _is_held_posix(path)


def _is_held_posix(path: Path) -> bool:
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # A shared lock is refused by the holder alone; any number of askers may have one.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_held_elsewhere(path: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True
