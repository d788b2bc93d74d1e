"""A follow-up question made into one that can be searched for by itself.

The model writes it, in a short call that extends the prompt of the turn before, so that the
server's cache of the talk stays. Where that gives nothing usable, words of the question before are
added by rule, and that is said. Pure but for the call itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import resources
from desktop.documents.query import STOP_WORDS, clean
from desktop.documents.words import WORD, stem

REWRITE_TOKENS = 64
_LONGEST = 300  # characters
_ADDED_WORDS = 8
_FEW_WORDS = 3  # telling ones: fewer say what they mean only with what was asked before
_EARLIER = 2  # questions that the rule looks at
_POINTING = frozenset((
    "it", "its", "they", "them", "their", "theirs", "this", "that", "these", "those", "he",
    "him", "his", "she", "her", "hers", "there", "then", "same", "one", "ones", "former",
    "latter", "previous", "above", "both", "such", "else", "also",
))  # fmt: skip
_OPENINGS = frozenset(("and", "but", "or", "so", "what about", "how about", "why", "how so"))


@dataclass(frozen=True)
class Query:
    """What is searched for. by: the question as asked, or who completed it. why: in words."""

    text: str
    by: Literal["as asked", "model", "rules"]
    why: str = ""


def is_follow_up(question: str) -> bool:
    """Whether a question leans on what was said before it."""
    words = [word.lower() for word in WORD.findall(question)]
    opening = {" ".join(words[:1]), " ".join(words[:2])}
    return bool(
        _POINTING.intersection(words) or opening & _OPENINGS
        or len(_telling(question)) < _FEW_WORDS
    )  # fmt: skip


def request_text(question: str) -> str:
    """What the model is asked, behind the talk so far."""
    text = resources.path("prompts/standalone_question.txt").read_text(encoding="utf-8")
    return text.strip().replace("{question}", " ".join(question.split()))


def from_model(written: str, question: str, earlier: Sequence[str]) -> Query | None:
    """The model's version, if it is a question about the same things; None if it is not.

    earlier: all that was said before. An answer, or an invented question, brings words that
    neither the question nor the talk has.
    """
    lines = [line.strip(" \t\"'`*") for line in written.strip().splitlines()]
    line = next((line for line in lines if line), "")
    line = line.partition("question:")[2].strip() or line
    own, said = _stems(question), _stems(" ".join(earlier))
    made = _stems(line)
    is_same = len(made & (own | said)) >= 0.7 * len(made) and len(made & own) >= 0.5 * len(own)
    if not made or len(line) > _LONGEST or not is_same:
        return None
    return Query(line, "model", "The model completed the question.")


def by_rules(question: str, questions: Sequence[str]) -> Query:
    """The question and the telling words of the ones before it, the last one's first."""
    present = {stem(word) for word in WORD.findall(question)}
    has_year = bool(clean(question).years)
    added: list[str] = []
    for before in reversed(questions[-_EARLIER:]):
        years = set(map(str, clean(before).years))
        for word in _telling(before):
            is_other_year = has_year and word in years
            if stem(word) not in present and not is_other_year and len(added) < _ADDED_WORDS:
                present.add(stem(word))
                added.append(word)
    if not added:
        return Query(question, "as asked")
    why = f"Words of earlier questions were added: {', '.join(added)}."
    return Query(f"{question} {' '.join(added)}", "rules", why)


def _telling(text: str) -> list[str]:
    return [word for word in WORD.findall(text)
            if word.lower() not in STOP_WORDS and word.lower() not in _POINTING]  # fmt: skip


def _stems(text: str) -> set[str]:
    return {stem(word) for word in _telling(text)}
