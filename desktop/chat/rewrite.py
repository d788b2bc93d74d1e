"""A follow-up question made into one that can be searched for by itself.

A question that names its own subject is searched as asked. Others the model completes, in a short
call that extends the prompt of the turn before, so that the server's cache of the talk stays. Where
that gives nothing usable, words of the question before are added by rule, and that is said. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import resources
from desktop.chat.talk_words import TalkWords
from desktop.documents.query import clean
from desktop.documents.words import WORD, stem

REWRITE_TOKENS = 64
_LONGEST = 300  # characters
_ADDED_WORDS = 8
_EARLIER = 6  # questions that a follow-up may lean on, one through the other
_NUMBER = re.compile(r"[\d.,]+|[qfh]\d{1,2}|fy\d{2,4}", re.IGNORECASE)
_PAST = re.compile(r"[a-z]{2,}[^e\W\d_]ed")  # happened: a verb is no subject; "speed" may be one
_THERE_IS = re.compile(
    r"\bthere\s+(?:is|are|was|were)\b|\b(?:is|are|was|were)\s+there\b(?=\s+\w)", re.IGNORECASE
)
_ASKS = re.compile(
    r"(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|has"
    r"|have|had|will|would|should|may|tell|list|give|show|describe|explain|compare|name|find"
    r"|summari[sz]e)\b|(?:in|on|at|by|for|from|of|to|with|under|since)\s+(?:which|what|whom|whose"
    r"|when|how)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Query:
    """What is searched for. by: the question as asked, or who completed it. why: in words."""

    text: str
    by: Literal["as asked", "model", "rules"]
    why: str = ""


def is_follow_up(question: str) -> bool:
    """Whether a question leans on what was said before it.

    It does with a word that points back or an opening like "and", or if it names nothing itself.
    """
    words = [word.lower() for word in WORD.findall(question)]
    talk = TalkWords.of(question)
    if {" ".join(words[:count]) for count in (1, 2, 3)} & talk.openings or _points(question, talk):
        return True
    subjects = _subjects(question)
    # "Why so high?" leans on the talk, "Why did revenue fall?" does not.
    return len(subjects) < (2 if words[:1] == ["why"] else 1)


def request_text(question: str) -> str:
    """What the model is asked, behind the talk so far."""
    text = resources.path("prompts/standalone_question.txt").read_text(encoding="utf-8")
    return text.strip().replace("{question}", " ".join(question.split()))


def from_model(
    written: str, question: str, questions: Sequence[str], said: Sequence[str]
) -> Query | None:
    """The model's version, if it is a question about the same things; None if it is not.

    questions: asked before, oldest first. said: all that was said before. It has to keep what the
    question tells, or, where that is a year at most, something of the last question; and it brings
    next to no word that nobody used.
    """
    lines = [line.strip(" \t\"'`*") for line in written.strip().splitlines()]
    line = next((line for line in lines if line), "")
    line = line.partition("question:")[2].strip() or line
    own, made = _stems(question), _stems(line)
    if not made or len(line) > _LONGEST or not _asks(line):
        return None
    known = own | _stems(" ".join([*questions, *said]))
    is_same = len(made & known) >= 0.7 * len(made) and len(made & own) >= 0.5 * len(own)
    topic = set(map(stem, _subjects(question))) or _stems(" ".join(_thread(questions)))
    if not is_same or not made & topic:
        return None
    return Query(line, "model", "The model completed the question.")


def by_rules(question: str, questions: Sequence[str]) -> Query:
    """The question and the telling words of the ones that it leans on, the last one's first."""
    present = {stem(word) for word in WORD.findall(question)}
    has_year = bool(clean(question).years)
    added: list[str] = []
    for before in _thread(questions):
        years = set(map(str, clean(before).years))
        for word in _telling(before):
            is_other_year = has_year and word in years
            if stem(word) not in present and not is_other_year and len(added) < _ADDED_WORDS:
                present.add(stem(word))
                added.append(word)
        has_year = has_year or bool(years)
    if not added:
        return Query(question, "as asked")
    why = f"Words of earlier questions were added: {', '.join(added)}."
    return Query(f"{question} {' '.join(added)}", "rules", why)


def _thread(questions: Sequence[str]) -> list[str]:
    """The last question, and while that is a follow-up itself, the one before it."""
    thread: list[str] = []
    for question in reversed(questions[-_EARLIER:]):
        thread.append(question)
        if not is_follow_up(question):
            break
    return thread


def _asks(line: str) -> bool:
    """Whether a line is a question or a request, and no sentence of an answer."""
    if line.endswith(("?", "？")):
        return True
    return bool(_ASKS.match(line)) and not line.endswith((".", ":", ";"))


def _points(question: str, talk: TalkWords) -> bool:
    text = _THERE_IS.sub(" ", question)
    found = list(WORD.finditer(text))
    shouts = question.isupper()
    for at, word in enumerate(found):
        # "the IT department", and "assets that were sold": neither points at the talk.
        is_it = word[0] == "IT" and not shouts
        is_joining = (
            word[0].lower() == "that" and 0 < at < len(found) - 1
            and _is_subject(found[at - 1][0], talk)
        )  # fmt: skip
        if word[0].lower() in talk.pointing and not is_it and not is_joining:
            return True
    return False


def _subjects(question: str) -> list[str]:
    """Words that name something: no numbers, no verbs of the past, none that fit any talk."""
    talk = TalkWords.of(question)
    return [word for word in WORD.findall(question) if _is_subject(word, talk)]


def _is_subject(word: str, talk: TalkWords) -> bool:
    if word.lower() in talk.silent or word.lower() in talk.leaning:
        return False
    return not _NUMBER.fullmatch(word) and not _PAST.fullmatch(word)


def _telling(text: str) -> list[str]:
    silent = TalkWords.of(text).silent
    return [word for word in WORD.findall(text) if word.lower() not in silent]


def _stems(text: str) -> set[str]:
    return {stem(word) for word in _telling(text)}
