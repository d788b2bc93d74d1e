"""How large an export becomes and whether it fits on the disk, before it starts (FAULTS F7)."""

import errno
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.durable_files import DISK_FULL, DRIVE_GONE
from converters.errors import UserError
from converters.gguf.header import DEFAULT_ALIGNMENT, Header, TensorInfo
from converters.gguf.tensor_types import TensorType, row_bytes
from converters.gguf.type_policy import AUTO, bits, candidates, explicit, parse_type

_FULL = {*DISK_FULL, errno.EFBIG}


def estimated_size(header: Header, type_name: str, touched: Collection[str]) -> int:
    """Bytes of the export, from the header alone. `touched`: names that the adapter will change.

    Exact for a named type and for `same`. For `auto`, whose choice needs the trained values, it
    takes Q8_0 (F16 for a base in Q8_0): at a usual change of 0.7 % that is the choice, or Q6_K,
    which is smaller, narrowly keeps or misses 95 % of it. Raises UserError for an unknown type.
    """
    wanted = parse_type(type_name)
    size = header.data_start
    for info in header.tensors:
        kind = info.type
        if info.name in touched and wanted is not None:
            kind = explicit(wanted, info.type, info.row_length)
        elif info.name in touched and type_name.lower() == AUTO:
            kind = _usual_choice(info)
        n_bytes = info.n_rows * row_bytes(kind, info.row_length)
        size += -(-n_bytes // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
    return size


def check_room(output: Path, needed_bytes: int) -> None:
    """Raise UserError, with both numbers, if the output's disk has less than `needed_bytes`.

    Also if the output's folder is missing, as `require_folder`.
    """
    require_folder(output)
    free = free_bytes(output)
    if free < needed_bytes:
        raise _full(output, needed_bytes, free)


def require_folder(output: Path) -> None:
    """Raise UserError if the output's folder is missing, as when its drive is not connected.

    It is not made: the file would silently go to another disk.
    """
    folder = output.absolute().parent
    if not folder.is_dir():
        raise _gone(folder, "There is no such folder", "Nothing was written.")


def free_bytes(output: Path) -> int:
    """Free bytes on the disk that will hold `output`, whose folder may not exist yet."""
    folder = output.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def writing(output: Path, needed_bytes: int) -> Iterator[None]:
    """Turn what the system says while `output` is written into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(output, needed_bytes, free_bytes(output)) from error
        folder = output.absolute().parent
        if error.errno in DRIVE_GONE or not folder.is_dir():
            kept = "The adapter and the base are kept."
            raise _gone(folder, f"{error.strerror}", kept) from error
        raise UserError(
            "The output cannot be written.",
            f"{output}: {error.strerror}. The adapter and the base are kept.",
            "Choose another folder, or make this one writable.",
        ) from error


def _gone(folder: Path, why: str, kept: str) -> UserError:
    return UserError(
        "The folder for the output is not there.",
        f"{folder}: {why}. {kept}",
        "Connect its drive again or make the folder, then try again from the export.",
    )


def _usual_choice(info: TensorInfo) -> TensorType:
    kinds = candidates(info.type, info.row_length)
    return next((kind for kind in kinds if bits(kind) >= bits(TensorType.Q8_0)), kinds[-1])


def _full(output: Path, needed: int, free: int) -> UserError:
    missing = f" {needed - free:,} bytes are missing." if needed > free else ""
    return UserError(
        "There is not enough disk space for the export.",
        f"The file needs {needed:,} bytes, {free:,} bytes are free in {output.parent}.{missing} "
        "The adapter and the base are kept, no part of the output is left.",
        "Free some space, then try again from the export.",
    )
