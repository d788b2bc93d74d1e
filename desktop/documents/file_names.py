"""Names and paths of files as text that is safe to show, and as text that can be turned back.

A name may hold anything but a slash and a zero byte: line feeds, marks that turn the direction of
writing, bytes that are no UTF-8. Paths are kept as bytes; what is shown says so where it must.
"""

import os
import unicodedata
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

_SHOWN_AS_CODE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def key_of(path: Path) -> bytes:
    """The absolute path as the system has it, without ".."; links are kept."""
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def path_of(key: bytes) -> Path:
    """The path of `key_of`."""
    return Path(os.fsdecode(key))


def shown(text: str) -> str:
    """`text` on one line, with controls, direction marks and foreign bytes as their codes."""
    return "".join(map(_shown_character, text))


def shown_path(key: bytes) -> str:
    """A whole path, to be read by a person."""
    return shown(os.fsdecode(key))


def shown_name(key: bytes) -> str:
    """The last part of a path, to be read by a person."""
    return shown(path_of(key).name)


def as_address(key: bytes) -> str:
    """A path as plain text for a JSON file; `%` and what is no ASCII as `%XX`."""
    return quote_from_bytes(key, safe="/ :\\()[]{}&+,;=@!$'~")


def of_address(address: str) -> bytes:
    """The path of `as_address`."""
    return unquote_to_bytes(address)


def _shown_character(character: str) -> str:
    if unicodedata.category(character) not in _SHOWN_AS_CODE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
