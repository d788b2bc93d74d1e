"""A conversation that is begun or taken up again: its record, its documents, its session."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from converters.errors import UserError
from desktop.chat.conversations import Conversations
from desktop.chat.opening import Talker
from desktop.chat.prompt import system_text
from desktop.chat.session import ChatSession
from desktop.chat.sources import Source, Whole
from desktop.chat.turns import Conversation
from desktop.core.counted import counted

_SHOWN = 200  # characters

@dataclass(frozen=True)
class Begun:
    """told: sentences on what the person should know before the first question."""

    session: ChatSession
    conversation: Conversation
    told: tuple[str, ...]


async def begin(
    chats: Conversations, talker: Talker, source: Source | None = None, *, title: str = ""
) -> Begun:
    """A new conversation. Where its one document fits whole, that stands in every prompt.

    Raises UserError: a pinned document that is not there, an empty library.
    """
    engine, counting = talker.engine, talker.counting
    whole = Whole("")
    if source is not None:
        whole = await source.whole(engine.window, counting.counter, counting.control_texts)
    system = whole.system or (system_text("passages") if source is not None else "")
    here = chats.create(
        engine.model, engine.window, system=system, title=title, passages=whole.passages,
        library=source.place.name if source else "", file=source.file if source else "",
    )  # fmt: skip
    told = (whole.why, counting.why)
    return _begun(chats, talker, here, source, told)


async def take_up(
    chats: Conversations, talker: Talker, here: Conversation, source: Source | None = None
) -> Begun:
    """A conversation that was begun before, as its model and documents are now.

    Raises UserError if the model's window became smaller than the conversation's.
    """
    if talker.engine.window != here.window:
        raise UserError(
            f"Conversation {here.id} cannot go on with {here.model}.",
            f"It has a window of {here.window:,} tokens; the model now has "
            f"{talker.engine.window:,} at most.",
            "Begin a new conversation.",
        )
    return _begun(chats, talker, here, source, (*_so_far(chats, here), talker.counting.why))


def _so_far(chats: Conversations, here: Conversation) -> Iterator[str]:
    """What was said last, and what goes with each question, for a person who comes back."""
    branch = chats.branch(here.id)
    if branch:
        count = sum(turn.role == "user" for turn in branch)
        yield f"{counted(count, 'question')} so far. The last words:"
        for turn in branch[-2:]:
            words = " ".join(turn.text.split())
            cut = f"{words[:_SHOWN]} ..." if len(words) > _SHOWN else words
            yield f"  {'You' if turn.role == 'user' else here.model}: {cut}"
    if here.passages:
        yield f"{here.passages[0].file} goes whole with each question, as before."


def _begun(
    chats: Conversations, talker: Talker, here: Conversation, source: Source | None,
    told: Sequence[str],
) -> Begun:  # fmt: skip
    has_whole = bool(here.passages)
    session = ChatSession(
        chats, here.id, talker.engine, talker.counting.counter,
        search=source.search if source and not has_whole else None,
        control_texts=talker.counting.control_texts, only_found=source is not None,
    )  # fmt: skip
    return Begun(session, here, tuple(text for text in told if text))
