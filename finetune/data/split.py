"""Which rows are trained and which are held out: decided by the rows' content, never by place."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from finetune.data.rows import Row

HELD_OUT_SHARE = 0.10
HELD_OUT_LARGEST_SHARE = 0.20
HELD_OUT_AT_LEAST = 50
HELD_OUT_AT_MOST = 500


@dataclass(frozen=True)
class Split:
    """Two disjoint parts of the accepted rows, each in the file's order."""

    train: tuple[Row, ...]
    held_out: tuple[Row, ...]


def held_out_size(rows: int) -> int:
    """How many of `rows` are held out: 10 %, at least 50 but never over 20 %, at most 500."""
    wanted = max(round(rows * HELD_OUT_SHARE), HELD_OUT_AT_LEAST)
    return min(wanted, int(rows * HELD_OUT_LARGEST_SHARE), HELD_OUT_AT_MOST)


def split(rows: Sequence[Row], seed: int = 0) -> Split:
    """Split by the hash of the content, so that duplicates never lie on both sides.

    The same rows in another order, or in another file, are split the same way.
    """
    copies = Counter(row.hash for row in rows)
    room = held_out_size(len(rows))
    chosen: set[str] = set()
    for digest in sorted(copies, key=lambda digest: _rank(digest, seed)):
        if copies[digest] <= room:
            chosen.add(digest)
            room -= copies[digest]
    return Split(
        tuple(row for row in rows if row.hash not in chosen),
        tuple(row for row in rows if row.hash in chosen),
    )


def without_overlap(rows: Sequence[Row], held_out: Sequence[Row]) -> tuple[Row, ...]:
    """The training rows that are not also in a held-out file of its own."""
    taken = {row.hash for row in held_out}
    return tuple(row for row in rows if row.hash not in taken)


def _rank(digest: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()
