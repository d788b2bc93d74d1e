"""Plain text set as a PDF whose every line knows its place in the text. For benchmarks and trials.

    python -m tests.benchmarks.text_pdf IN.txt OUT.pdf

Courier 9 points, 92 columns, 58 lines a page. Characters beyond Latin keep their Unicode value (a
ToUnicode table) but not their look.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS, LINES = 92, 58
SIZE, LEADING, LEFT, TOP = 9, 12, 57, 744
WIDTH, HEIGHT = 612, 792
Span = tuple[int, int]
_FONT = (
    b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /FirstChar 32 /LastChar 255 "
    b"/Widths [%s] /ToUnicode %d 0 R >>"
)
_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources 3 0 R /Contents %d 0 R >>"
_PLAIN = frozenset(map(chr, range(32, 127)))


@dataclass(frozen=True)
class SetText:
    """pages: of each page its lines as (start, end) in the text."""

    pages: list[list[Span]]

    def pages_of(self, start: int, end: int) -> list[int]:
        """The pages (from 1) that show a part of the span."""
        return [number for number, lines in enumerate(self.pages, 1)
                if any(a < end and start < b for a, b in lines)]  # fmt: skip


def set_text(text: str) -> SetText:
    """Break lines at spaces and pages after 58 lines."""
    lines = list(_lines(text))
    return SetText([lines[at : at + LINES] for at in range(0, len(lines), LINES)])


def write_pdf(text: str, path: Path) -> SetText:
    """Set `text` and write the PDF."""
    layout = set_text(text)
    codes = _codes(text)
    fonts = [_font(group) for group in codes.groups]
    names = " ".join(f"/F{at} {4 + 2 * at} 0 R" for at in range(len(fonts)))
    pages = [_content([text[a:b] for a, b in lines], codes) for lines in layout.pages]
    first = 4 + 2 * len(fonts)
    kids = " ".join(f"{first + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        f"<< /Font << {names} >> >>".encode(),
    ]
    for at, table in enumerate(fonts):
        objects += [_FONT % (b"600 " * 224, 5 + 2 * at), _stream(table)]
    for at, content in enumerate(pages):
        objects += [_PAGE % (WIDTH, HEIGHT, first + 2 * at + 1), _stream(content)]
    path.write_bytes(_file(objects))
    return layout


@dataclass(frozen=True)
class _Codes:
    """groups: the characters of each font; of: (font, code) by character."""

    groups: list[str]
    of: dict[str, tuple[int, int]]


def _codes(text: str) -> _Codes:
    others = sorted(set(text) - _PLAIN - {"\n"})
    # Every font keeps the space at code 32: readers take that code for one.
    groups = ["".join(sorted(_PLAIN))] + [
        " " + "".join(others[at : at + 200]) for at in range(0, len(others), 200)
    ]
    of = {char: (font, 32 + at) for font, group in enumerate(groups)
          for at, char in enumerate(group) if font == 0 or char != " "}  # fmt: skip
    return _Codes(groups, of)


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.split("\n"):
        begin, last = start, start + len(line)
        while last - begin > COLUMNS:
            space = text.rfind(" ", begin + 1, begin + COLUMNS + 1)
            cut = space if space > begin else begin + COLUMNS
            yield begin, cut
            begin = cut + 1 if space > begin else cut
        yield begin, last
        start = last + 1


def _content(lines: Sequence[str], codes: _Codes) -> bytes:
    parts = [f"BT {LEADING} TL {LEFT} {TOP} Td"]
    for line in lines:
        font, shown = -1, ""
        for char in line:
            of_char, code = codes.of[char]
            if of_char != font:
                shown += f"{'> Tj ' if font >= 0 else ''}/F{of_char} {SIZE} Tf <"
                font = of_char
            shown += f"{code:02x}"
        parts.append(f"{shown}{'> Tj' if line else ''} T*")
    return "\n".join([*parts, "ET"]).encode()


def _font(group: str) -> bytes:
    rows = "\n".join(f"<{32 + at:02x}> <{char.encode('utf-16-be').hex()}>"
                     for at, char in enumerate(group))  # fmt: skip
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def\n"
        "1 begincodespacerange <00> <ff> endcodespacerange\n"
        f"{len(group)} beginbfchar\n{rows}\nendbfchar\nendcmap end end"
    ).encode()


def _stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)


def _file(objects: Sequence[bytes]) -> bytes:
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    tail = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return bytes(out) + (head + tail).encode()


if __name__ == "__main__":
    write_pdf(Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2]))
