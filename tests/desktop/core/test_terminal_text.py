"""What documents and models write may not steer the terminal that shows it."""

import pytest

from desktop.core.terminal_text import harmless_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nüñ 減益 🦉", "plain\ttext\nüñ 減益 🦉"),
        ("\x1b]0;owned\x07", "\ufffd]0;owned\ufffd"),
        ("\x1b[2J\x1b[31m", "\ufffd[2J\ufffd[31m"),
        ("\x9b2J", "\ufffd2J"),
        ("12\b\b99", "12\ufffd\ufffd99"),
        ("over\rwritten", "over\ufffdwritten"),
        ("line\r\nline", "line\nline"),
        ("fdp.\u202eexe", "fdp.\ufffdexe"),
    ],
)
def test_steering_characters_are_marks(text: str, shown: str):
    assert harmless_text(text) == shown
