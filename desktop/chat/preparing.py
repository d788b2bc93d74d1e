"""From a branch of a conversation and a question to the messages that are sent.

Earlier turns go in byte for byte as they were sent before; a question carries the passages that no
turn before it carries. Knows a counter, no server and no store.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from desktop.chat.budget import Budget, Plan, Sizes, counted, plan
from desktop.chat.counting import Counter, Message
from desktop.chat.passages import Passage
from desktop.chat.prompt import block, harmless, question_text
from desktop.chat.turns import Conversation, Turn, pairs

_SPARE = 8  # tokens: texts side by side may cost some more than each by itself
_NAMED_CHARACTERS = 60


@dataclass(frozen=True)
class Prepared:
    """messages: all that is sent. request: ids of the earlier turns in it. sent: the question as
    it stands in the last message. new: its passages; passages: those of the whole prompt.

    predicted: tokens of the prompt, which the budget's terms add up to. unsent: passages that were
    found and had no room. See `news.Planned` for left_out and shared_tokens.
    """

    messages: tuple[Message, ...]
    request: tuple[int, ...]
    sent: str
    new: tuple[Passage, ...]
    passages: tuple[Passage, ...]
    budget: Budget
    predicted: int
    left_out: tuple[str, ...]
    shared_tokens: int
    unsent: tuple[Passage, ...] = ()

    @property
    def kept_back(self) -> "Prepared":
        """The same where nothing of it is sent."""
        budget = replace(self.budget, system=0, history=0, passages=0, question=0)
        return replace(self, budget=budget, predicted=0, shared_tokens=0)


class Preparer:
    """Prepares the prompts of one conversation. control_texts: of the model's vocabulary."""

    def __init__(
        self, conversation: Conversation, counter: Counter, control_texts: Sequence[str] = ()
    ) -> None:
        self._conversation = conversation
        self._counter = counter
        self._control_texts = control_texts
        self._system_size = self._document_size = 0
        self._pair_frame = 0

    def history(self, branch: tuple[Turn, ...]) -> list[Message]:
        """The messages of the prompt that the last answer of a branch had, with that answer."""
        kept = pairs(branch)
        sent = [turn for pair in list(kept)[_first_kept(branch) :] for turn in pair]
        return [*self._system(), *map(_message, sent)]

    async def prepare(
        self, branch: tuple[Turn, ...], question: str, found: Sequence[Passage] | None,
        slack: int = 0,
    ) -> Prepared:  # fmt: skip
        """The prompt of a question behind a branch that ends with an answer.

        found: passages, best first; None where no library is asked. slack: tokens to leave free.
        Raises TooLong.
        """
        kept, start = list(pairs(branch)), _first_kept(branch)
        return await self._fitting(
            lambda spared: self._planned(kept, start, question, found, spared), slack
        )

    async def prepare_again(
        self, branch: tuple[Turn, ...], asked: Turn, slack: int = 0
    ) -> Prepared:
        """The prompt of a question that was sent before: its text with its passages as they were.

        Only earlier turns can be left out. Raises TooLong.
        """
        kept, start = list(pairs(branch)), _first_kept(branch)
        return await self._fitting(
            lambda spared: self._planned_again(kept, start, asked, spared), slack
        )

    # -- private -----------------------------------------------------------------------------

    async def _fitting(
        self, planned: Callable[[int], Awaitable[Prepared]], slack: int
    ) -> Prepared:
        await self._measure_frame()
        while True:
            made = await planned(slack)
            limit = made.budget.window - made.budget.answer_room
            if made.predicted <= limit:
                return made
            # The whole may have more tokens than its parts: leave out more, until plan refuses.
            slack += made.predicted - limit + _SPARE

    async def _planned_again(
        self, kept: list[tuple[Turn, Turn]], start: int, asked: Turn, slack: int
    ) -> Prepared:
        history = await self._history(kept, start)
        texts = [asked.sent]
        texts += [block(asked.passages, self._control_texts)] if asked.passages else []
        whole, *found = await self._counter.texts(texts)
        sizes = Sizes(self._system_size + slack, history, whole)
        made = plan(self._conversation.window, sizes, start, is_exact=self._counter.is_exact)
        passages = min(whole, sum(found))
        made = replace(made, budget=replace(
            made.budget, question=whole - passages, passages=passages,
            passages_left_out=len(asked.unsent),
        ))  # fmt: skip
        return await self._prepared(
            kept, history, start, made, asked.sent, asked.passages, asked.unsent
        )

    async def _history(self, kept: Sequence[tuple[Turn, Turn]], start: int) -> list[int]:
        """Tokens of each earlier pair; what was left out stays out and is not counted again,
        however long the talk has been."""
        sizes = await self._counter.texts([one.sent + two.sent for one, two in kept[start:]])
        return [0] * start + [size + self._pair_frame for size in sizes]

    async def _planned(
        self, kept: list[tuple[Turn, Turn]], start: int, question: str,
        found: Sequence[Passage] | None, slack: int,
    ) -> Prepared:  # fmt: skip
        history = await self._history(kept, start)
        first, own = start, harmless(question, self._control_texts).text
        while True:
            here = [*self._conversation.passages, *_carried(kept[first:])]
            numbers = {passage.n for passage in here}
            new = [one for one in found or () if one.n not in numbers]
            again = [one for one in found or () if one.n in numbers]
            made = await self._plan(history, first, own, new, again, found is not None, slack)
            if made.first_pair == first or not new + again:
                break
            first = made.first_pair  # passages of turns that are now left out are new again
        chosen = [new[at] for at in made.passages]
        sent = self._question(own, chosen, again, found is not None)
        unsent = [one for one in new if one not in chosen]
        return await self._prepared(kept, history, start, made, sent, chosen, unsent)

    async def _prepared(
        self, kept: Sequence[tuple[Turn, Turn]], history: Sequence[int], start: int, made: Plan,
        sent: str, new: Sequence[Passage], unsent: Sequence[Passage],
    ) -> Prepared:  # fmt: skip
        here = [*self._conversation.passages, *_carried(kept[made.first_pair :])]
        turns = [turn for pair in kept[made.first_pair :] for turn in pair]
        messages = [*self._system(), *map(_message, turns), {"role": "user", "content": sent}]
        predicted = await self._counter.prompt(messages)
        shared = self._shared(kept, history, start if made.first_pair == start else None)
        return Prepared(
            messages=tuple(messages), request=tuple(turn.id for turn in turns), sent=sent,
            new=tuple(new), passages=_unique([*here, *new]),
            budget=counted(made.budget, predicted, self._document_size), predicted=predicted,
            left_out=_names(kept[: made.first_pair]), shared_tokens=shared,
            unsent=tuple(unsent),
        )  # fmt: skip

    def _shared(
        self, kept: Sequence[tuple[Turn, Turn]], history: Sequence[int], start: int | None
    ) -> int:
        """Tokens that the prompt before, or its answer, had too. start: None if history went."""
        sent = [at for at, (_, answer) in enumerate(kept) if answer.request]
        if not sent:
            return 0
        return self._system_size + (sum(history[start : sent[-1] + 1]) if start is not None else 0)

    async def _plan(
        self, history: Sequence[int], first: int, question: str, new: Sequence[Passage],
        again: Sequence[Passage], has_library: bool, slack: int,
    ) -> Plan:  # fmt: skip
        asked = self._question(question, new[:1], again, has_library)
        texts = [asked.replace(block(new[:1], self._control_texts), block([])) if new else asked]
        texts += [block([passage], self._control_texts) for passage in new]
        question_size, *passage_sizes = await self._counter.texts(texts)
        sizes = Sizes(self._system_size + slack, history, question_size, passage_sizes)
        return plan(self._conversation.window, sizes, first, is_exact=self._counter.is_exact)

    def _question(
        self, question: str, new: Sequence[Passage], again: Sequence[Passage], has_library: bool
    ) -> str:
        # Of a document that stands in the system text everything has been said already.
        if not has_library or (self._conversation.passages and not new):
            return question
        return question_text(question, new, again, self._control_texts)

    def _system(self) -> list[Message]:
        system = self._conversation.system
        return [{"role": "system", "content": system}] if system else []

    async def _measure_frame(self) -> None:
        """The template's own tokens, once: before the first message, and around two turns."""
        if self._system_size:
            return
        question = [*self._system(), {"role": "user", "content": ""}]
        self._system_size = await self._counter.prompt(question)
        if self._conversation.passages:
            text = block(self._conversation.passages, self._control_texts)
            [self._document_size] = await self._counter.texts([text])
        turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
        with_pair = await self._counter.prompt([*self._system(), *turns, question[-1]])
        self._pair_frame = max(0, with_pair - self._system_size)


def _first_kept(branch: tuple[Turn, ...]) -> int:
    """The first pair that the last prompt held: what was left out once stays out."""
    kept = list(pairs(branch))
    request = next((answer.request for _, answer in reversed(kept) if answer.request), ())
    places = [at for at, (question, _) in enumerate(kept) if question.id in request]
    return places[0] if places else 0


def _carried(kept: Sequence[tuple[Turn, Turn]]) -> list[Passage]:
    return [passage for question, _ in kept for passage in question.passages]


def _unique(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    return tuple({passage.n: passage for passage in passages}.values())


def _message(turn: Turn) -> Message:
    return {"role": turn.role, "content": turn.sent}


def _names(left_out: Sequence[tuple[Turn, Turn]]) -> tuple[str, ...]:
    return tuple(" ".join(asked.text.split())[:_NAMED_CHARACTERS] for asked, _ in left_out)
