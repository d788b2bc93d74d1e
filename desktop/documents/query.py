"""A question cleaned for search: years and quarters spelled out, empty words dropped.

Knows English question words; knows no packs and no documents.
"""

import re
from dataclasses import dataclass

import resources
from desktop.documents.words import stem, words

PHRASE_WORDS = (2, 4)
_ORDINALS = ("first", "second", "third", "fourth")
_FISCAL_YEAR = re.compile(r"(?<![^\W\d_])[FC]Y\s?['’]?(\d{4}|\d{2})(?!\d)", re.IGNORECASE)
_QUARTER = re.compile(r"(?<!\w)(?:Q([1-4])|([1-4])Q)(?:['’]?(\d{4}|\d{2}))?(?!\w)", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")


def _read_stop_words() -> frozenset[str]:
    lines = resources.path("stop_words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


STOP_WORDS = _read_stop_words()


@dataclass(frozen=True)
class Query:
    """text: the question with years and quarters spelled out. words: all of them, in order.

    telling: those that are no stop words; terms: their stems, each once. phrases: stems of the
    runs of 2 to 4 words that neither start nor end with a stop word. years: ascending.
    """

    text: str
    words: tuple[str, ...]
    telling: tuple[str, ...]
    terms: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    years: tuple[int, ...]


def clean(question: str) -> Query:
    """Read a question. One of stop words alone keeps them all, for want of anything better."""
    text = _QUARTER.sub(_spell_quarter, _FISCAL_YEAR.sub(_spell_year, question))
    found = tuple(words(text))
    telling = tuple(word for word in found if not _is_empty(word)) or found
    years = sorted({int(word) for word in found if _YEAR.fullmatch(word)})
    terms = tuple(dict.fromkeys(stem(word) for word in telling))
    return Query(text, found, telling, terms, tuple(_phrases(found)), tuple(years))


def _is_empty(word: str) -> bool:
    return word in STOP_WORDS or (len(word) == 1 and word.isalpha() and word.isascii())


def _phrases(found: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Each set of stems once: a row knows no order."""
    runs: dict[frozenset[str], tuple[str, ...]] = {}
    shortest, longest = PHRASE_WORDS
    for start in range(len(found)):
        for length in range(shortest, longest + 1):
            run = found[start : start + length]
            if len(run) < length or _is_empty(run[0]) or _is_empty(run[-1]):
                continue
            stems = tuple(dict.fromkeys(map(stem, run)))
            if len(stems) > 1:
                runs.setdefault(frozenset(stems), stems)
    return list(runs.values())


def _spell_year(found: re.Match[str]) -> str:
    return f" {_full_year(found[1])} "


def _spell_quarter(found: re.Match[str]) -> str:
    quarter = _ORDINALS[int(found[1] or found[2]) - 1]
    year = f" {_full_year(found[3])}" if found[3] else ""
    return f" {quarter} quarter three months ended{year} "


def _full_year(digits: str) -> str:
    if len(digits) == 4:
        return digits
    return f"20{digits}" if int(digits) < 70 else f"19{digits}"
