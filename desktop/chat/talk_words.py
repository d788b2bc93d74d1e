"""Words by which a question leans on the talk before it, in several languages.

They are data, in resources/follow_up_words.json: `pointing` (it, sie), `openings` (and, und),
`chatter` (of the talk itself, or how much of something), `leaning` (tell something only with what
they are of), `function` (tell nothing), and `marks`, of which one makes a text one of that language
too. English holds for every text.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Self

import resources
from desktop.documents.query import STOP_WORDS
from desktop.documents.words import WORD

_KINDS = ("pointing", "openings", "chatter", "leaning", "function")


@dataclass(frozen=True)
class TalkWords:
    """The words of the languages of one text, in lower case."""

    pointing: frozenset[str]
    openings: frozenset[str]
    silent: frozenset[str]
    """Of `pointing`, `chatter` and `function`: no search is better for them."""
    leaning: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Self:
        """The words that hold for a text."""
        words = {word.lower() for word in WORD.findall(text)}
        return _of_languages(
            cls, tuple(name for name, marks in _marks().items() if not marks or words & marks)
        )


@cache
def _of_languages[T: TalkWords](made: type[T], languages: tuple[str, ...]) -> T:
    read = _read()
    pointing, openings, chatter, leaning, function = (
        frozenset(word for name in languages for word in read[name][kind]) for kind in _KINDS
    )
    return made(pointing, openings, pointing | chatter | function | STOP_WORDS, leaning)


@cache
def _marks() -> dict[str, frozenset[str]]:
    return {name: frozenset(words["marks"]) for name, words in _read().items()}


@cache
def _read() -> dict[str, dict[str, list[str]]]:
    return json.loads(resources.path("follow_up_words.json").read_text(encoding="utf-8"))
