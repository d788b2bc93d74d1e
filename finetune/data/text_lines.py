"""Lines of a text file of any Unicode encoding, streamed with a bounded buffer.

Knows nothing about rows: it hands out lines, numbered from 1, or the reason why one is unreadable.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from converters.errors import Stopped, UserError
from converters.events import ShouldStop
from converters.text_encoding import detect_encoding

MAX_LINE_BYTES = 16 * 2**20
CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class Line:
    """Line `number` (from 1) without its line end; `problem` says why there is no `text`."""

    number: int
    text: str
    problem: str = ""


def never_stop() -> bool:
    """The `should_stop` of callers that cannot be interrupted."""
    return False


def encoding_of(path: Path) -> str:
    """The encoding that `read_lines` will use. Raises UserError if the file cannot be opened."""
    with _opened(path) as file:
        return detect_encoding(file.read(4))[0]


def read_lines(
    path: Path, should_stop: ShouldStop = never_stop, max_bytes: int = MAX_LINE_BYTES
) -> Iterator[Line]:
    """Yield every line of `path`, blank ones too.

    A line over `max_bytes` (counted in UTF-8) is skipped to its end without being held in memory
    and comes as a problem; so does one that is not valid text. Raises UserError if the file cannot
    be opened, Stopped within one chunk of `should_stop()` saying yes.
    """
    raw_lines = _raw_lines(_utf8_chunks(path, should_stop), max_bytes)
    for number, raw in enumerate(raw_lines, start=1):
        yield _line(number, raw, max_bytes)


def _line(number: int, raw: bytes | None, max_bytes: int) -> Line:
    if raw is None:
        limit = max_bytes / 2**20
        return Line(number, "", f"the line is longer than the limit of {limit:g} MiB")
    try:
        text = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        return Line(number, "", _undecodable(raw, error.start))
    if "\x00" in text:
        column = text.index("\x00") + 1
        return Line(number, "", f"a NUL character stands at column {column}")
    return Line(number, text)


def _undecodable(raw: bytes, at: int) -> str:
    column = len(raw[:at].decode("utf-8", "replace")) + 1
    if raw[at] == 0xED and at + 1 < len(raw) and raw[at + 1] >= 0xA0:
        return f"half of a surrogate pair stands at column {column}"
    return f"not UTF-8 text: byte 0x{raw[at]:02X} at column {column}"


def _raw_lines(chunks: Iterator[bytes], max_bytes: int) -> Iterator[bytes | None]:
    """Lines with their ends; None stands for a line over the limit."""
    held = bytearray()
    is_skipping = False
    for chunk in chunks:
        for piece in _split(chunk):
            if not is_skipping:
                held += piece
            is_skipping = is_skipping or len(held) > max_bytes
            if is_skipping:
                held.clear()
            if piece.endswith(b"\n"):
                yield None if is_skipping else bytes(held)
                held.clear()
                is_skipping = False
    if held or is_skipping:
        yield None if is_skipping else bytes(held)


def _split(chunk: bytes) -> list[bytes]:
    """Split after b"\\n" only: `bytes.splitlines` would also end a line at a lone return."""
    parts = chunk.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _utf8_chunks(path: Path, should_stop: ShouldStop) -> Iterator[bytes]:
    with _opened(path) as file:
        encoding, mark = detect_encoding(file.read(4))
        file.seek(mark)
        if encoding == "utf-8":
            yield from _chunks(file, should_stop)
        else:
            yield from _transcoded(_chunks(file, should_stop), encoding)


def _transcoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    # Half surrogates pass through here so that the line which holds one is named, not the file.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        # An impossible or cut unit: 0xFF makes the line at hand invalid, so it is counted.
        yield b"\xff"


def _chunks(file: BinaryIO, should_stop: ShouldStop) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        if should_stop():
            raise Stopped
        yield chunk


def _opened(path: Path) -> BinaryIO:
    hint = "Check the path and that you may read the file."
    if path.is_dir():
        raise UserError("The data is a folder, not a file.", f"{path} is a folder.", hint)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UserError("The data file was not found.", f"There is no file {path}.", hint) from None
    except OSError as error:
        detail = f"{path}: {error.strerror}."
        raise UserError("The data file could not be opened.", detail, hint) from error
