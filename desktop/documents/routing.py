"""How well each document of a collection fits a question, before its pages are looked at.

FACTS 3.7, step 6: file name, first pages, whole text, and the year that the document is about.
The recipe leaves open when a document "stands out" (step 7); `stands_out` is our answer.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from desktop.documents.profiles import YEAR, Profile
from desktop.documents.query import Query
from desktop.documents.scope import Floats, rarity, scaled
from desktop.documents.words import stem

NAME_K1, NAME_B = 0.5, 0.0
TEXT_K1, TEXT_B = 0.8, 0.3
WHOLE_SHARE, YEAR_SHARE = 0.3, 0.6
CLEAR_LEAD = 0.7


def routing_terms(query: Query) -> tuple[str, ...]:
    """Every stem whose counts `document_scores` looks up: a store may fetch only these."""
    return tuple(dict.fromkeys([*_name_terms(query), *_text_terms(query)]))


def document_scores(query: Query, profiles: Sequence[Profile]) -> Floats:
    """(documents,) from 0 to 1."""
    texts = _text_terms(query)
    fronts, wholes = [p.front for p in profiles], [p.whole for p in profiles]
    front_sizes = np.array([p.front_size for p in profiles], float)
    whole_sizes = np.array([p.whole_size for p in profiles], float)
    names, equal = [p.name for p in profiles], np.ones(len(profiles))
    scores = scaled(
        _bm25(_name_terms(query), names, equal, NAME_K1, NAME_B)
        + _bm25(texts, fronts, front_sizes, TEXT_K1, TEXT_B)
        + WHOLE_SHARE * _bm25(texts, wholes, whole_sizes, TEXT_K1, TEXT_B)
    )
    if query.years:
        years = np.array([year_fit(profile, query.years[-1]) for profile in profiles])
        scores = scaled(scores + YEAR_SHARE * years)
    return scores


def stands_out(query: Query, profiles: Sequence[Profile], scores: Floats) -> bool:
    """True if the question tells its document: names it, or leaves all others clearly behind."""
    if not len(scores):
        return False
    best = int(np.argmax(scores))
    others = np.delete(scores, best)
    named = any(term in profiles[best].name for term in _name_terms(query))
    return named or float(others.max(initial=0.0)) < CLEAR_LEAD


def year_fit(profile: Profile, year: int) -> float:
    """How much a document is about a year, 0 to 1; its name counts half if it tells years."""
    most = max(profile.years.values(), default=0)
    in_text = profile.years.get(year, 0) / most if most else 0.0
    if not profile.name_years:
        return in_text
    return 0.5 * in_text + 0.5 * (year in profile.name_years)


def _text_terms(query: Query) -> list[str]:
    return [term for term in query.terms if not YEAR.fullmatch(term)]


def _name_terms(query: Query) -> list[str]:
    """Also the runs of two and three words written as one: file names glue them."""
    words = query.words
    glued = [stem("".join(words[start : start + length])) for length in (2, 3)
             for start in range(len(words) - length + 1)]  # fmt: skip
    return list(dict.fromkeys([*_text_terms(query), *glued]))


def _bm25(
    terms: Sequence[str], counts: Sequence[Mapping[str, int]], sizes: Floats, k1: float, b: float
) -> Floats:
    """(documents,) as `ScopeUnits.bm25`, for counts that were looked up."""
    table = np.array([[each.get(term, 0) for each in counts] for term in terms], float)
    table = table.reshape(len(terms), len(counts))
    norm = k1 * (1 - b + b * sizes / max(float(sizes.mean()) if len(sizes) else 0.0, 1e-9))
    weights = np.array([rarity(len(counts), int(df)) for df in np.count_nonzero(table, axis=1)])
    return weights @ (table * (k1 + 1) / (table + norm))
