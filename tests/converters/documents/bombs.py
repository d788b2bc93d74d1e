"""Small PDFs that want gigabytes or hours. Each is a few kilobytes to a few megabytes."""

import zlib

from tests.converters.documents.tiny_pdf import assembled, document, line, packed, stream

_PIECE = 2**24


def zeros(count: int, byte: bytes = b" ") -> bytes:
    """`count` equal bytes under Flate, made from one flushed block again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(byte * _PIECE) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + block * (count // _PIECE) + b"\x03\x00" + bytes(4)


def _page_with(more: dict[int, bytes], content: str, resources: str) -> bytes:
    return document([content + line(72, 700, "after")], resources=resources, more=more)


def nested_flate(count: int = 3 * 2**30) -> bytes:
    """A content stream that is three gigabytes of spaces, Flate in Flate: a few kilobytes."""
    body = stream(zlib.compress(zeros(count)), "/Filter [/FlateDecode /FlateDecode]")
    return assembled({
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        5: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 6 0 R >>",
        6: body,
    })  # fmt: skip


def run_length_in_flate(count: int = 3 * 2**30) -> bytes:
    """The same through RunLength, which makes 128 bytes of two."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b"\x81 " * (_PIECE // 2)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = b"\x78\xda" + block * max(1, count // (_PIECE * 64)) + b"\x03\x00" + bytes(4)
    content = stream(data, "/Filter [/FlateDecode /RunLengthDecode]")
    return assembled({
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        5: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 6 0 R >>",
        6: content,
    })  # fmt: skip


def many_operators(count: int = 300_000_000) -> bytes:
    """A content stream of 300 million saves and restores."""
    unit = b"q Q "
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(unit * (_PIECE // 4)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = b"\x78\xda" + block * (count * 2 // _PIECE) + b"\x03\x00" + bytes(4)
    return assembled({
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        5: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 6 0 R >>",
        6: stream(data, "/Filter /FlateDecode"),
    })  # fmt: skip


def laughing_forms(levels: int = 12, each: int = 10) -> bytes:
    """Forms that each draw the next one ten times."""
    more: dict[int, bytes] = {}
    for level in range(levels):
        inner = f"/X {100_001 + level} 0 R" if level + 1 < levels else ""
        content = "/X Do " * each if inner else line(10, 10, "ha")
        more[100_000 + level] = packed(
            content.encode(),
            "/Type /XObject /Subtype /Form /BBox [0 0 500 500] "
            f"/Resources << /Font << /F1 3 0 R >> /XObject << {inner} >> >>",
        )
    return _page_with(more, "/X Do ", "/XObject << /X 100000 0 R >>")


def form_in_itself() -> bytes:
    """A form that draws itself."""
    form = packed(
        b"/X Do /X Do",
        "/Type /XObject /Subtype /Form /BBox [0 0 500 500] "
        "/Resources << /XObject << /X 100000 0 R >> >>",
    )
    return _page_with({100_000: form}, "/X Do ", "/XObject << /X 100000 0 R >>")


def huge_picture() -> bytes:
    """A picture of 60,000 x 60,000 points with light text over it, which asks for a drawing."""
    body = stream(zeros(2**28, b"\x00"), (
        "/Filter /FlateDecode /Type /XObject /Subtype /Image /Width 60000 /Height 60000 "
        "/ColorSpace /DeviceRGB /BitsPerComponent 8"
    ))  # fmt: skip
    content = "q 595 0 0 842 0 0 cm /X Do Q" + line(72, 650, "on it", before="1 1 1 rg")
    return _page_with({100_000: body}, content, "/XObject << /X 100000 0 R >>")


def tail_biting_pages() -> bytes:
    """A tree of pages whose nodes name one another."""
    return assembled({
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R 3 0 R 3 0 R] /Count 1000000 >>",
        3: b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 2 0 R 3 0 R] /Count 1000000 >>",
    })  # fmt: skip


def countless_pages() -> bytes:
    """A tree that claims a million pages and has one."""
    return document([line(72, 700, "the only one")]).replace(b"/Count 1 ", b"/Count 1000000 ")


def endless_object_streams() -> bytes:
    """Object streams that extend one another in a ring and hold each other's objects."""
    rows = b"4 0 5 30 << /Type /Catalog /Pages 5 0 R >>    << /Type /Pages /Kids [4 0 R] >>"
    ring = {
        number: packed(rows, f"/Type /ObjStm /N 2 /First 9 /Extends {6 + (number - 5) % 3} 0 R")
        for number in (6, 7, 8)
    }
    body = assembled({1: b"<< /Type /Catalog /Pages 5 0 R >>", **ring})
    table = packed(
        b"".join(bytes([2, 0, 6 + number % 3, number % 2]) for number in range(10)),
        "/Type /XRef /W [1 2 1] /Size 10 /Root 4 0 R",
    )
    start = len(body)
    return body + b"9 0 obj\n" + table + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % start


def endless_previous_tables() -> bytes:
    """A table of objects that names itself as the one before."""
    whole = document([line(72, 700, "text")])
    start = whole.index(b"xref\n")
    return whole.replace(b"trailer <<", b"trailer << /Prev %d" % start)


def deep_arrays(depth: int = 500_000) -> bytes:
    """An object of half a million brackets."""
    return document([line(72, 700, "text")], more={100_000: b"[" * depth + b"]" * depth},
                    page="/Odd 100000 0 R")  # fmt: skip


def many_letters(count: int = 200_000) -> bytes:
    """Two hundred thousand text objects of one letter each."""
    return document([("".join(line(x % 500, 10 + x // 500, "a") for x in range(count)))])


ALL = {
    build.__name__: build
    for build in (
        nested_flate, run_length_in_flate, many_operators, laughing_forms, form_in_itself,
        huge_picture, tail_biting_pages, countless_pages, endless_object_streams,
        endless_previous_tables, deep_arrays, many_letters,
    )
}  # fmt: skip
