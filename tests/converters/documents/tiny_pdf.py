"""PDFs written by hand, byte by byte, so that a test states exactly what a parser meets."""

import zlib
from collections.abc import Callable, Mapping, Sequence

A4 = (595, 842)
Cipher = Callable[[int, bytes], bytes]


def stream(data: bytes, extra: str = "") -> bytes:
    """A stream object's body."""
    return f"<< /Length {len(data)} {extra} >>\nstream\n".encode() + data + b"\nendstream"


def packed(data: bytes, extra: str = "") -> bytes:
    """A stream under Flate."""
    return stream(zlib.compress(data), f"/Filter /FlateDecode {extra}")


def line(x: float, y: float, text: str, size: float = 12, before: str = "") -> str:
    """One line of Helvetica at (x, y) from the bottom left corner; `before` sets paint or mode."""
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"\nq {before} BT /F1 {size} Tf {x} {y} Td ({escaped}) Tj ET Q\n"


def assembled(objects: Mapping[int, bytes], trailer: str = "") -> bytes:
    """A file of these numbered objects with a table of where they are. Object 1 is the root."""
    data = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places: dict[int, int] = {}
    for number, body in objects.items():
        places[number] = len(data)
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start, last = len(data), max(objects) + 1
    rows = [
        b"%010d 00000 n \n" % places[n] if n in places else b"0000000000 65535 f \n"
        for n in range(last)
    ]
    data += b"xref\n0 %d\n" % last + b"".join(rows)
    data += f"trailer << /Size {last} /Root 1 0 R {trailer} >>\n".encode()
    return bytes(data) + b"startxref\n%d\n%%%%EOF\n" % start


def document(
    contents: Sequence[str | bytes],
    *,
    size: tuple[float, float] = A4,
    page: str = "",
    resources: str = "",
    more: Mapping[int, bytes] | None = None,
    cipher: Cipher | None = None,
    trailer: str = "",
) -> bytes:
    """A PDF of one page for each content stream.

    page: more entries of every page. resources: more entries of its resources. more: objects by
    number, from 100,000 on. cipher: encrypts a stream of the object with this number.
    """
    objects: dict[int, bytes] = {}
    kids = " ".join(f"{5 + 2 * at} 0 R" for at in range(len(contents)))
    objects[1] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[2] = f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode()
    objects[3] = (
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    )
    for at, content in enumerate(contents):
        number = 5 + 2 * at
        raw = content.encode("latin-1") if isinstance(content, str) else content
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}] {page} "
            f"/Resources << /Font << /F1 3 0 R >> {resources} >> /Contents {number + 1} 0 R >>"
        ).encode()
        objects[number + 1] = stream(cipher(number + 1, raw) if cipher else raw)
    return assembled(objects | dict(more or {}), trailer)


def image(width: int = 8, height: int = 8, value: int = 128) -> bytes:
    """A grey picture's object."""
    return packed(
        bytes([value]) * (width * height),
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
        "/ColorSpace /DeviceGray /BitsPerComponent 8",
    )
