import random
import unicodedata

import pytest

from desktop.ollama_api.names import (
    NameRefused,
    check_name,
    parse_name,
    same_name,
    unproven_name,
)

GOOD = ["tickets", "tickets:v1", "Tickets_2.q8-0", "me/tickets", "hf.co/me/tickets:Q8_0", "_a", "0"]
HOSTILE = [
    "", " ", "a b", "a\tb", "a\nb", "../x", "..", ".", "/", "a/", "/a", "a//b", "a/b/c/d", "a:",
    ":a", "a:b:c", "-a", ".a", "a:.b", "a:-b", "a\\b", "C:\\x", "a*", "a?", "a|b", "a<b", 'a"b',
    "a'b", "a`b", "a$b", "a;b", "a&b", "a%00b", "a\0b", "a@sha256:0", "a#b", "a{b}", "{{ .x }}",
    "con", "NUL", "aux.gguf", "COM1", "a:lpt9", "a.", "a:b.", "a" * 81, "a:" + "b" * 80,
    "n" * 81 + "/a", "a:cloud", "a:120b-cloud", "a:unproven", "a:v1-unproven",
    "caf\u00e9", "\u202egpj.exe", "\u0430dmin", "a\u200bb", "\U0001f600", "a\u00a0b", "\ufeffa",
    "\u212a", "a\u0301", "n.a/b.c/d", "--help", "http://x/y/z",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_names_that_ollama_takes_are_taken(name: str):
    check_name(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_f29_hostile_names_are_refused_clearly(name: str):
    with pytest.raises(NameRefused) as caught:
        check_name(name)
    assert caught.value.title.endswith("cannot be the name of a model.")
    assert caught.value.detail
    # What is shown cannot turn the terminal's direction or hide characters.
    assert str(caught.value).isascii()
    assert "letters, digits" in caught.value.hint


def test_f29_500_random_names_are_refused_or_plain():
    rng = random.Random(0)
    for _ in range(500):
        name = "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x2FFFF))))
                       for _ in range(rng.randrange(1, 40)))  # fmt: skip
        if any(unicodedata.category(c) == "Cs" for c in name):
            continue
        try:
            parts = check_name(name)
        except NameRefused:
            continue
        assert not {"..", "", "."} & set(parts.model.split("/"))
        assert name.isascii()


def test_the_reason_names_the_character():
    with pytest.raises(NameRefused, match=r"The model may not contain or begin with ' '"):
        check_name("my model")
    with pytest.raises(NameRefused, match="The tag has 80 characters, at most 71 fit"):
        check_name("a:" + "b" * 80)


def test_the_unproven_name_keeps_model_and_tag():
    assert unproven_name("tickets") == "tickets:unproven"
    assert unproven_name("me/tickets:v1") == "me/tickets:v1-unproven"
    assert unproven_name("localhost:5000/me/tickets") == "localhost:5000/me/tickets:unproven"


def test_names_are_one_with_default_tag_and_any_case():
    assert same_name("Tickets", "tickets:latest")
    assert same_name("library/tickets", "tickets")
    assert not same_name("tickets", "tickets:v1")
    assert parse_name("h/n/m:t").full == "h/n/m:t"
