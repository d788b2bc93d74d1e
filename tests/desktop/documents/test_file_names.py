"""Hostile names are shown on one line and come back byte for byte (FAULTS F29)."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop.documents.file_names import as_address, key_of, of_address, path_of, shown, shown_name


@pytest.mark.parametrize(("name", "seen"), [
    ("\u202egpj.exe", "\\u202egpj.exe"),
    ("two\nlines\r.pdf", "two\\x0alines\\x0d.pdf"),
    (os.fsdecode(b"caf\xe9.pdf"), "caf\\xe9.pdf"),
    ("Bücher 書.pdf", "Bücher 書.pdf"),
    ("a\u2028b\u200bc\x1b[31m", "a\\u2028b\\u200bc\\x1b[31m"),
])
def test_what_deceives_the_eye_is_shown_as_its_code(name, seen):
    assert shown(name) == seen
    assert shown_name(key_of(Path("/papers") / name)) == seen


@given(st.binary(min_size=1, max_size=255))
def test_any_path_survives_a_json_file(name):
    key = b"/papers/" + name
    assert of_address(as_address(key)) == key
    assert as_address(key).isascii()


def test_a_path_is_absolute_and_has_one_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert key_of(Path("x/../a.pdf")) == key_of(tmp_path / "a.pdf")
    assert path_of(key_of(Path("a.pdf"))) == tmp_path / "a.pdf"
