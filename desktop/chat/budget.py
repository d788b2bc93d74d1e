"""Which passages and which earlier turns fit into the window, in tokens. Pure arithmetic.

What does not fit is left out whole, counted and named, never cut. Earlier turns go in steps: after
one, the history is small enough for several turns to follow, so that the server's prompt cache
holds (FACTS 3.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from converters.errors import UserError

DEFAULT_WINDOW = 8192
"""Tokens. Larger ones ran other tools out of memory (FACTS 4)."""
_PADDING = 256  # llama.cpp rounds the window to multiples of it
_LARGEST_ANSWER = 1024
_ANSWER_SHARE = 4  # at most a quarter of the window
_KEPT_SHARE = 0.5  # of the history's room, after a step
_PASSAGE_SHARE = 0.5  # of what system, question and answer leave, if history wants the rest
_TALK_SHARE = 0.25  # of the window, beside a whole document


class TooLong(UserError):
    """One message that does not fit. tokens: it has; room: there is."""

    def __init__(self, what: str, tokens: int, room: int, window: int, hint: str) -> None:
        super().__init__(
            f"{what} does not fit into the model's context.",
            f"It has {tokens:,} tokens; of a window of {window:,} there are {max(0, room):,} for "
            "it. Nothing was cut or sent.",
            hint,
        )
        self.tokens = tokens
        self.room = room


@dataclass(frozen=True)
class Sizes:
    """Tokens of all that could be sent. system: with the template's own words and the answer's
    head. pairs: earlier questions with their answers, oldest first. passages: best first."""

    system: int
    pairs: Sequence[int]
    question: int
    passages: Sequence[int] = ()


@dataclass(frozen=True)
class Budget:
    """Where the window goes, in tokens. is_exact: counted, else an upper bound.

    pairs_left_out, passages_left_out: how many of each were not sent.
    """

    window: int
    system: int
    history: int
    passages: int
    question: int
    answer_room: int
    pairs_left_out: int = 0
    passages_left_out: int = 0
    is_exact: bool = True

    @property
    def prompt(self) -> int:
        """Tokens of the whole prompt."""
        return self.system + self.history + self.passages + self.question

    @property
    def free(self) -> int:
        """Tokens that nothing uses."""
        return self.window - self.prompt - self.answer_room

    @property
    def use(self) -> str:
        """What stands in the window, in words and without a full stop."""
        about = "" if self.is_exact else "at most "
        return (
            f"{about}{self.prompt:,} of {self.window:,} tokens: system {self.system:,}, history "
            f"{self.history:,}, passages {self.passages:,}, question {self.question:,}; "
            f"{self.answer_room:,} are kept for the answer"
        )

    def __str__(self) -> str:
        left = [
            f"{count} {name}{'' if count == 1 else 's'}"
            for count, name in ((self.pairs_left_out, "earlier question"),
                                (self.passages_left_out, "passage")) if count
        ]  # fmt: skip
        return f"{self.use}; left out: {' and '.join(left)}." if left else f"{self.use}."


def counted(budget: Budget, prompt: int, document: int = 0) -> Budget:
    """The budget with terms that add up to the prompt's tokens as they were counted whole.

    Parts that are counted one by one have some tokens more or fewer than side by side. document:
    tokens of the system text that are a document; they are passages.
    """
    system = budget.system - document
    terms = {
        "system": system, "history": budget.history, "passages": budget.passages + document,
        "question": budget.question,
    }  # fmt: skip
    rest = prompt - sum(terms.values())
    for name in ("passages", "history", "question", "system"):
        taken = max(rest, -terms[name]) if terms[name] else 0
        terms[name] += taken
        rest -= taken
    return replace(budget, **terms)


@dataclass(frozen=True)
class Plan:
    """What is sent. first_pair: the earlier ones are left out. passages: places in Sizes.passages,
    ascending."""

    first_pair: int
    passages: tuple[int, ...]
    budget: Budget


def window_for(model_context: int, wanted: int = DEFAULT_WINDOW) -> int:
    """The window of a new conversation: as wanted, at most the model's (0: unknown)."""
    most = min(wanted, model_context) if model_context else wanted
    return max(_PADDING, most // _PADDING * _PADDING)


def answer_room_for(window: int) -> int:
    """Tokens that are kept for an answer."""
    return min(_LARGEST_ANSWER, window // _ANSWER_SHARE)


def whole_document_fits(window: int, system: int, document: int) -> bool:
    """Whether a document can stand in every prompt and leave room to talk about it."""
    talk = int(window * _TALK_SHARE)
    return system + document + talk + answer_room_for(window) <= window


def plan(window: int, sizes: Sizes, first_pair: int = 0, *, is_exact: bool = True) -> Plan:
    """Choose what is sent. first_pair: what the turn before left out stays out.

    Raises TooLong: the question, the system text or the smallest passage do not fit.
    """
    room = answer_room_for(window)
    free = window - room - sizes.system
    if free <= 0:
        raise TooLong("The system text", sizes.system, window - room, window,
                      "Take a larger window (`--window`), or a shorter document.")  # fmt: skip
    if sizes.question > free:
        raise TooLong("The message", sizes.question, free, window,
                      "Shorten it, or add the text as a document to a library.")  # fmt: skip
    free -= sizes.question
    history = sum(sizes.pairs[first_pair:])
    taken = _passages(sizes.passages, max(int(free * _PASSAGE_SHARE), free - history))
    if sizes.passages and not taken:  # the earlier turns make way for one
        taken = _passages(sizes.passages, free)[:1]
    if sizes.passages and not taken:
        raise TooLong("Even the smallest passage that was found", min(sizes.passages), free, window,
                      "Take a larger window (`--window`).")  # fmt: skip
    passages = sum(sizes.passages[at] for at in taken)
    first = _first_pair(sizes.pairs, first_pair, free - passages)
    return Plan(first, taken, Budget(
        window=window, system=sizes.system, history=sum(sizes.pairs[first:]), passages=passages,
        question=sizes.question, answer_room=room, pairs_left_out=first,
        passages_left_out=len(sizes.passages) - len(taken), is_exact=is_exact,
    ))  # fmt: skip


def _passages(sizes: Sequence[int], room: int) -> tuple[int, ...]:
    """The best ones that fit; a large one that does not makes way for smaller ones after it."""
    taken: list[int] = []
    for at, size in enumerate(sizes):
        if size <= room:
            taken.append(at)
            room -= size
    return tuple(taken)


def _first_pair(pairs: Sequence[int], first: int, room: int) -> int:
    if sum(pairs[first:]) <= room:
        return first
    while first < len(pairs) and sum(pairs[first:]) > room * _KEPT_SHARE:
        first += 1
    return first
