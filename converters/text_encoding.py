"""Which Unicode encoding a text file is in, from its first bytes."""

import codecs

# The UTF-32 mark of little endian begins with that of UTF-16, so it is looked for first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def detect_encoding(start: bytes) -> tuple[str, int]:
    """(encoding, bytes of the mark) of a file that begins with `start`.

    Without a mark it is UTF-8, unless every second byte is zero as in unmarked UTF-16.
    """
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    if len(start) >= 4 and start[0] and not start[1] and start[2] and not start[3]:
        return "utf-16-le", 0
    if len(start) >= 4 and start[1] and not start[0] and start[3] and not start[2]:
        return "utf-16-be", 0
    return "utf-8", 0
