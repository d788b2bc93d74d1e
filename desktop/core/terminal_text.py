"""Text of documents and models on its way to a terminal: nothing in it may steer the terminal."""

import re

# C0 but tab and line feed, DEL, C1: what escape sequences begin with (ECMA-48). And the characters
# that turn the order of what follows, which could show a name or a number as another one.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless_json(text: str) -> str:
    """JSON with the escape of each such character in its place, which says the same to a parser.

    JSON writes C0 as escapes by itself; DEL, C1 and what turns the order of text it leaves raw.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def harmless_text(text: str) -> str:
    """The text with a mark in place of each character that a terminal would obey."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n"))
