"""PDFium's functions as plain typed calls, and its document, page and text handles.

PDFium is not thread-safe, even across documents (FACTS 1.12): one document at a time in a process.
"""

import ctypes
from collections.abc import Buffer, Callable, Iterator
from contextlib import contextmanager
from ctypes import c_double, c_float, c_int, c_uint, c_ulong, c_void_p
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as raw

from converters.documents.bulk_calls import bulk_function, filled_rows, pointer
from converters.documents.page import Boxes, DocumentRefused

ERROR_PASSWORD = 4
ERROR_SECURITY = 5


def typed_function(
    name: str, result: Any, *arguments: Any, is_long: bool = False
) -> Callable[..., Any]:
    """PDFium's function `name`; is_long: other threads of Python run meanwhile."""
    prototype = ctypes.CFUNCTYPE if is_long else ctypes.PYFUNCTYPE
    address = ctypes.cast(getattr(raw, name), c_void_p).value
    assert address is not None
    return prototype(result, *arguments)(address)


_load_document = typed_function(
    "FPDF_LoadMemDocument64", c_void_p, c_void_p, ctypes.c_size_t, ctypes.c_char_p, is_long=True
)
_last_error = typed_function("FPDF_GetLastError", c_ulong)
_close_document = typed_function("FPDF_CloseDocument", None, c_void_p)
_page_count = typed_function("FPDF_GetPageCount", c_int, c_void_p)
_load_page = typed_function("FPDF_LoadPage", c_void_p, c_void_p, c_int, is_long=True)
_close_page = typed_function("FPDF_ClosePage", None, c_void_p)
_page_box = typed_function("FPDF_GetPageBoundingBox", c_int, c_void_p, c_void_p)
_page_rotation = typed_function("FPDFPage_GetRotation", c_int, c_void_p)
_load_text = typed_function("FPDFText_LoadPage", c_void_p, c_void_p, is_long=True)
_close_text = typed_function("FPDFText_ClosePage", None, c_void_p)
_count_characters = typed_function("FPDFText_CountChars", c_int, c_void_p)
_text = typed_function("FPDFText_GetText", c_int, c_void_p, c_int, c_int, c_void_p)
_unicode = bulk_function("FPDFText_GetUnicode", c_uint)
_loose_box = bulk_function("FPDFText_GetLooseCharBox", c_int)
_text_object = bulk_function("FPDFText_GetTextObject", c_void_p)
_map_error = bulk_function("FPDFText_HasUnicodeMapError", c_int)
_font_size = typed_function("FPDFText_GetFontSize", c_double, c_void_p, c_int)
_matrix = typed_function("FPDFText_GetMatrix", None, c_void_p, c_int, c_void_p)


class PdfText:
    """The characters of one page, by PDFium's own numbers from 0."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._pointer = pointer(handle)
        self.count = max(0, _count_characters(handle))

    def codes(self) -> npt.NDArray[np.uint32]:
        """The code point of every character."""
        buffer = np.zeros(self.count + 1, np.uint16)
        written = _text(self._handle, 0, self.count, buffer.ctypes.data) if self.count else 1
        if written - 1 == self.count:
            return buffer[:-1].astype(np.uint32)
        # Left out or split into surrogates: only the slow way keeps numbers and characters together
        codes = map(_unicode, repeat(self._pointer), range(self.count))
        return np.fromiter(codes, np.uint32, self.count)

    def boxes(self, characters: npt.NDArray[np.intp]) -> Boxes:
        """(n, 4) float32: left, top, right, bottom of these characters, in PDF space."""
        arguments = (repeat(self._pointer), characters.tolist())
        return filled_rows(_loose_box, len(characters), arguments, 1, np.float32)[1]

    def objects(self) -> npt.NDArray[np.uint64]:
        """The text object that each character belongs to, as its address; 0 for generated ones."""
        found = map(_text_object, repeat(self._pointer), range(self.count))
        return np.fromiter((address or 0 for address in found), np.uint64, self.count)

    def font_size(self, character: int) -> float:
        """The size in points at which the character is drawn, its matrix applied."""
        matrix = (c_float * 6)()
        _matrix(self._handle, character, ctypes.addressof(matrix))
        a, b, c, d = matrix[:4]
        return _font_size(self._handle, character) * abs(a * d - b * c) ** 0.5

    def unmapped(self, characters: npt.NDArray[np.intp]) -> int:
        """How many of `characters` have no entry in their font's table of Unicode."""
        return sum(map(_map_error, repeat(self._pointer), characters.tolist()))


class PdfPage:
    """One page: its box and rotation, and the handle for `page_objects`."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        box = (c_float * 4)()
        _page_box(handle, ctypes.addressof(box))
        self._left, self._top, self._right, self._bottom = box
        self._rotation = _page_rotation(handle) % 4
        sides = (self._right - self._left, self._top - self._bottom)
        self.width, self.height = sides[::-1] if self._rotation % 2 else sides

    @contextmanager
    def text(self) -> Iterator[PdfText]:
        """The page's characters. Raises DocumentRefused when PDFium cannot tell them."""
        handle = _load_text(self.handle)
        if not handle:
            raise DocumentRefused("The text of the page could not be read.")
        try:
            yield PdfText(handle)
        finally:
            _close_text(handle)

    def shown(self, boxes: npt.NDArray[Any]) -> Boxes:
        """Left, top, right, bottom in PDF space -> x0, y0, x1, y1 from the top left as shown."""
        across = (boxes[:, 0] - self._left, boxes[:, 2] - self._left)
        down = (self._top - boxes[:, 1], self._top - boxes[:, 3])
        match self._rotation:
            case 1:
                height = self._top - self._bottom
                across, down = (height - down[1], height - down[0]), across
            case 2:
                across = (self.width - across[1], self.width - across[0])
                down = (self.height - down[1], self.height - down[0])
            case 3:
                width = self._right - self._left
                across, down = down, (width - across[1], width - across[0])
        return np.stack([across[0], down[0], across[1], down[1]], 1).astype(np.float32)


class PdfDocument:
    """An open document; a context manager. `data` is kept and must not change meanwhile.

    password: the user's or the owner's. Raises DocumentRefused: encrypted, damaged.
    """

    def __init__(self, data: Buffer, password: str | None = None) -> None:
        self._bytes = np.frombuffer(data, np.uint8)
        secret = password.encode() if password else None
        self._handle = _load_document(self._bytes.ctypes.data, len(self._bytes), secret)
        if not self._handle:
            raise _refused(_last_error(), password)
        self.page_count: int = max(0, _page_count(self._handle))

    @contextmanager
    def page(self, index: int) -> Iterator[PdfPage]:
        """Page `index`, from 0. Raises DocumentRefused when it is damaged."""
        handle = _load_page(self._handle, index)
        if not handle:
            raise DocumentRefused(f"Page {index + 1} is damaged.")
        try:
            yield PdfPage(handle)
        finally:
            _close_page(handle)

    def __enter__(self) -> "PdfDocument":
        return self

    def __exit__(self, *error: object) -> None:
        _close_document(self._handle)
        del self._bytes


def _refused(error: int, password: str | None) -> DocumentRefused:
    if error == ERROR_PASSWORD and password:
        return DocumentRefused(
            "The password is wrong.",
            "Neither the user's nor the owner's password of this PDF is the one given.",
            "Try it again; the password is never stored.",
            kind="encrypted",
        )
    if error == ERROR_PASSWORD:
        return DocumentRefused(
            "The PDF is encrypted.",
            "It can only be read with its password.",
            "Give the password; it is never stored.",
            kind="encrypted",
        )
    if error == ERROR_SECURITY:
        return DocumentRefused(
            "The PDF is encrypted in a way that cannot be read.",
            "It uses a kind of protection other than a password.",
            "Save a copy without protection in the program that opens it.",
            kind="encrypted",
        )
    return DocumentRefused(
        "The PDF is damaged.",
        "It has no readable table of its contents.",
        "Open it in a PDF viewer and save it again, or get it anew.",
    )
