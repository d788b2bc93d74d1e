"""The contents of a folder, to see that a fault changed nothing that was there before."""

import hashlib
from pathlib import Path

from converters.durable_files import STAGED_SUFFIX


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below the folder, by its path there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(folder: Path) -> list[str]:
    """What a killed writer left below the folder: staged files and folders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"*{STAGED_SUFFIX}"))
