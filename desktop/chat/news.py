"""What a conversation tells while it answers, in this order: Searched, Planned, Pieces, Ended."""

from dataclasses import dataclass

from desktop.chat.budget import Budget
from desktop.chat.evidence import Checked
from desktop.chat.passages import Passage
from desktop.chat.rewrite import Query
from desktop.chat.turns import Turn


@dataclass(frozen=True)
class Searched:
    """What was looked for, and the passages that were found, best first."""

    query: Query
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Planned:
    """What is about to be sent. question: as it was kept. passages: all that the prompt holds.

    left_out: the beginnings of the earlier questions that were left out, oldest first. notes:
    whole sentences on what else a person should know. shared_tokens: of the prompt's beginning
    that the prompt before had too. unsent: passages that were found and had no room.
    """

    question: Turn
    budget: Budget
    passages: tuple[Passage, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    shared_tokens: int
    unsent: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Text of the answer, with citations checked; thinking is text that is none of it."""

    text: str
    thinking: str = ""


@dataclass(frozen=True)
class Ended:
    """The answer as it was kept; `answer.is_final` is False if it was stopped or cut at a limit.

    found: False if the documents do not tell. predicted: the prompt's tokens by our count.
    warning: one sentence if the server counted another prompt than we sent, else "".
    """

    answer: Turn
    checked: Checked
    found: bool
    predicted: int
    warning: str = ""


News = Searched | Planned | Piece | Ended
