"""Postings as bytes in the library, in parts of some pages, and parts put together again.

Made when pages are added, so that the first search after a start costs a tenth of what counting
all words again would; a library can do without and count anew.
"""

import zlib
from collections.abc import Sequence
from struct import Struct

import numpy as np

from desktop.documents.entries import Entries, Ints
from desktop.documents.postings import Postings, Units

_HEAD = Struct("<BI")  # bytes of a number, how many
_WIDTHS: tuple[tuple[int, type[np.unsignedinteger]], ...] = (
    (1, np.uint8), (2, np.uint16), (4, np.uint32),
)  # fmt: skip
_LEVEL = 1


def pack(postings: Postings) -> bytes:
    """The bytes of `unpack`."""
    names = "\n".join(postings.vocabulary).encode()
    arrays = [postings.numbers, postings.chunk_start, postings.chunk_end, postings.row_numbers]
    for units in (postings.chunks, postings.heads, postings.rows):
        entries = units.entries
        arrays += [units.page, units.size, np.diff(entries.offsets), entries.owners,
                   entries.counts]  # fmt: skip
    body = b"".join(map(_packed, arrays))
    return zlib.compress(len(names).to_bytes(4, "little") + names + body, _LEVEL)


def unpack(data: bytes) -> Postings:
    """The postings of `pack`. Raises zlib.error or ValueError for damaged bytes."""
    raw = zlib.decompress(data)
    length = int.from_bytes(raw[:4], "little")
    names = raw[4 : 4 + length].decode()
    arrays: list[Ints] = []
    at = 4 + length
    while at < len(raw):
        array, at = _unpacked(raw, at)
        arrays.append(array)
    numbers, start, end, row_numbers, *units = arrays
    return Postings(
        numbers, {name: at for at, name in enumerate(names.split("\n") if names else ())},
        _units(units[:5]), _units(units[5:10]), _units(units[10:]), start, end, row_numbers,
    )  # fmt: skip


def stems_of(data: bytes) -> list[str]:
    """Only the vocabulary of packed postings."""
    raw = zlib.decompress(data)
    names = raw[4 : 4 + int.from_bytes(raw[:4], "little")].decode()
    return names.split("\n") if names else []


def joined(parts: Sequence[Postings]) -> Postings:
    """One document of parts that hold its pages in order."""
    if len(parts) == 1:
        return parts[0]
    vocabulary: dict[str, int] = {}
    ids = [
        np.array([vocabulary.setdefault(name, len(vocabulary)) for name in part.vocabulary],
                 np.int64)
        for part in parts
    ]  # fmt: skip
    first_pages = np.cumsum([0, *(len(part.numbers) for part in parts)])

    def units(of: list[Units]) -> Units:
        pages = [own.page + first for own, first in zip(of, first_pages[:-1], strict=True)]
        return Units(
            _concatenated(pages), _concatenated([own.size for own in of]),
            _joined_entries([own.entries for own in of], ids, [len(own.size) for own in of],
                            len(vocabulary)),
        )  # fmt: skip

    return Postings(
        _concatenated([part.numbers for part in parts]), vocabulary,
        units([part.chunks for part in parts]), units([part.heads for part in parts]),
        units([part.rows for part in parts]),
        _concatenated([part.chunk_start for part in parts]),
        _concatenated([part.chunk_end for part in parts]),
        _concatenated([part.row_numbers for part in parts]),
    )  # fmt: skip


def size_of(postings: Postings) -> int:
    """About how many bytes of memory postings hold."""
    entries = sum(
        len(units.entries.owners) for units in (postings.chunks, postings.heads, postings.rows)
    )
    return 8 * entries + 150 * len(postings.vocabulary)


def _joined_entries(
    parts: list[Entries], ids: list[np.ndarray], owners: list[int], n_terms: int
) -> Entries:
    terms = [np.repeat(own, np.diff(part.offsets)) for own, part in zip(ids, parts, strict=True)]
    firsts = np.cumsum([0, *owners])[:-1]
    term = np.concatenate(terms)
    # Stable: within a term the parts, and so the owners, stay in order.
    order = np.argsort(term, kind="stable")
    moved = [part.owners + first for part, first in zip(parts, firsts, strict=True)]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(term, minlength=n_terms))))
    return Entries(
        offsets.astype(np.int32), _concatenated(moved)[order],
        _concatenated([part.counts for part in parts])[order],
    )  # fmt: skip


def _concatenated(parts: Sequence[np.ndarray]) -> Ints:
    return np.concatenate(parts).astype(np.int32)


def _units(arrays: list[Ints]) -> Units:
    page, size, lengths, owners, counts = arrays
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return Units(page, size, Entries(offsets, owners, counts))


def _packed(array: Ints) -> bytes:
    largest = int(array.max(initial=0))
    width, kind = next(pair for pair in _WIDTHS if largest < 1 << 8 * pair[0])
    return _HEAD.pack(width, len(array)) + array.astype(kind).tobytes()


def _unpacked(raw: bytes, at: int) -> tuple[Ints, int]:
    width, length = _HEAD.unpack_from(raw, at)
    start = at + _HEAD.size
    array = np.frombuffer(raw, dict(_WIDTHS)[width], length, start)
    return array.astype(np.int32), start + width * length
