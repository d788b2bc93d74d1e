"""Packs: how the documents of one field word what people ask, as data that anyone can edit.

The format is told in resources/packs/README.md. A rule fires when one of its `ask` phrases stands
in the question; its `rows` become phrases to look for in the lines of the documents.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

import resources
from converters.errors import UserError
from desktop.documents.query import Query
from desktop.documents.words import stem, stems, words

_SIZE_LIMIT_BYTES = 1 << 20
# Fewer than the stop words of a question: "income before" is a line of a report.
_LINKS = frozenset(("a", "an", "and", "by", "for", "in", "of", "on", "or", "the", "to"))


def _with_words(phrase: str) -> str:
    if not row_stems(phrase):
        raise ValueError(f"{phrase!r} holds no word to search for")
    return phrase


def _asked(phrase: str) -> str:
    if not words(phrase):
        raise ValueError(f"{phrase!r} holds no word")
    return phrase


class Rule(BaseModel):
    """If a question holds a phrase of `ask`, lines with all the words of one of `rows` count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ask: Annotated[tuple[Annotated[str, AfterValidator(_asked)], ...], Field(min_length=1)]
    rows: Annotated[tuple[Annotated[str, AfterValidator(_with_words)], ...], Field(min_length=1)]


class Pack(BaseModel):
    """One file of resources/packs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    title: str
    about: str = ""
    version: Literal[1]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @cached_property
    def rules_by_first_stem(self) -> dict[str, list[tuple[tuple[str, ...], Rule, str]]]:
        """(stems of an `ask` phrase, its rule, the phrase) by the first of the stems."""
        by_first: dict[str, list[tuple[tuple[str, ...], Rule, str]]] = {}
        for rule in self.rules:
            for text in rule.ask:
                key = tuple(stems(text))
                by_first.setdefault(key[0], []).append((key, rule, text))
        return by_first


@dataclass(frozen=True)
class PackPhrase:
    """Words to find in one line: `stems`, each once; `text` and `asked` as the pack writes them."""

    stems: tuple[str, ...]
    text: str
    asked: str


@dataclass(frozen=True)
class Expansion:
    """What packs add to a question: phrases for lines, and all their stems, each once."""

    terms: tuple[str, ...] = ()
    phrases: tuple[PackPhrase, ...] = ()


def shipped_packs(off: Collection[str] = ()) -> tuple[Pack, ...]:
    """The packs of this installation in order of name, without those named in `off`."""
    files = sorted(resources.path("packs").glob("*.json"))
    return tuple(load_pack(file) for file in files if file.stem not in off)


def load_pack(path: Path) -> Pack:
    """Read one pack. Raises UserError if it cannot be read or is not as README.md tells."""
    try:
        if path.stat().st_size > _SIZE_LIMIT_BYTES:
            raise _unusable(path, "It is larger than 1 MB.")
        pack = Pack.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _unusable(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _unusable(path, f"{place}: {first['msg']}.") from None
    if pack.name != path.stem:
        raise _unusable(path, f'Its name is "{pack.name}" and its file is "{path.name}".')
    return pack


def expand(query: Query, packs: Sequence[Pack]) -> Expansion:
    """What the packs add to the question; the longest of overlapping `ask` phrases counts."""
    found: dict[frozenset[str], PackPhrase] = {}
    for rule, asked in _fired(query, packs):
        for text in rule.rows:
            phrase = row_stems(text)
            found.setdefault(frozenset(phrase), PackPhrase(phrase, text, asked))
    phrases = tuple(found.values())
    return Expansion(_each_once(word for phrase in phrases for word in phrase.stems), phrases)


def row_stems(phrase: str) -> tuple[str, ...]:
    """The stems of a row phrase, each once, without "of", "and" and the like."""
    return _each_once(stem(word) for word in words(phrase) if word not in _LINKS)


def _fired(query: Query, packs: Sequence[Pack]) -> list[tuple[Rule, str]]:
    asked = tuple(stem(word) for word in query.words)
    hits: list[tuple[int, int, Rule, str]] = []
    for pack in packs:
        for start, first in enumerate(asked):
            hits += [(start, start + len(key), rule, text)
                     for key, rule, text in pack.rules_by_first_stem.get(first, ())
                     if asked[start : start + len(key)] == key]  # fmt: skip
    spans = {(start, end) for start, end, _, _ in hits}
    return [(rule, text) for start, end, rule, text in hits if not _inside(start, end, spans)]


def _inside(start: int, end: int, spans: Collection[tuple[int, int]]) -> bool:
    """True if a longer span holds this one."""
    return any(a <= start and end <= b and b - a > end - start for a, b in spans)


def _each_once(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _unusable(path: Path, cause: str) -> UserError:
    return UserError(
        f'The pack "{path.name}" cannot be used.',
        cause,
        "Correct the file or switch the pack off.",
    )
