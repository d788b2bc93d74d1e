"""What a line with a slash does in `tunedesk chat`, beside asking."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from converters.errors import UserError
from desktop.chat.conversations import Conversations
from desktop.chat.news import News
from desktop.chat.passages import Passage
from desktop.chat.ratings import rate
from desktop.chat.session import ChatSession
from desktop.chat.turns import Turn
from desktop.commands.answering import Screen, Told, passages_text

HELP = """\
/again           answer the last question once more
/edit TEXT       ask otherwise in place of the last question
/good  /bad      rate the last answer
/correct TEXT    write what the last answer should have been
/passages        show the passages that the last answer was given
/title TEXT      give the conversation another title
/bye             leave (or Ctrl-D); Ctrl-C stops an answer
\"\"\"              begins and ends a question of several lines"""
_WITH_TEXT = ("/edit", "/correct", "/title")


@dataclass
class Here:
    """A conversation that is being talked in. last: what the newest question brought. is_kept:
    False where nothing can be written."""

    chats: Conversations
    conversation: int
    session: ChatSession
    screen: Screen
    last: Told = field(default_factory=Told)
    is_kept: bool = True

    def turns(self, role: str) -> list[Turn]:
        """The turns of the branch that is shown."""
        return [turn for turn in self.chats.branch(self.conversation) if turn.role == role]


def act(here: Here, word: str, rest: str) -> AsyncGenerator[News] | None:
    """Do what a word says; an answer that is to be shown, or None. Raises UserError."""
    if rest and word not in _WITH_TEXT:
        raise UserError(f"{word} takes no text.", "Nothing was done.", "/help shows all words.")
    match word:
        case "/again":
            return here.session.again(_question(here).id)
        case "/edit":
            return here.session.edit(_question(here).id, _text(rest, word, "question"))
        case "/good" | "/bad":
            _rate(here, is_good=word == "/good")
        case "/correct":
            _rate(here, is_good=False, correction=_text(rest, word, "answer"))
        case "/title":
            here.chats.rename(here.conversation, _text(rest, word, "title"))
            here.screen.note(f'The conversation is now called "{rest}".')
        case "/passages":
            here.screen.line(passages_text(_passages(here)))
        case "/help" | "/?":
            here.screen.line(HELP)
        case _:
            raise UserError(
                f"{word} is not known.", "Nothing was sent.",
                "/help shows what can be done. A question that begins with a slash goes after a "
                "space.",
            )
    return None


def _question(here: Here) -> Turn:
    questions = here.turns("user")
    if not questions:
        raise UserError("Nothing was asked yet.", "", "Write a question.")
    return questions[-1]


def _passages(here: Here) -> tuple[Passage, ...]:
    """Those of the last prompt; before the first one of this session, all of the conversation."""
    if here.last.planned is not None:
        return here.last.planned.passages
    carried = [one for turn in here.turns("user") for one in turn.passages]
    return (*here.chats.get(here.conversation).passages, *carried)


def _rate(here: Here, *, is_good: bool, correction: str = "") -> None:
    branch = here.chats.branch(here.conversation)
    if not branch or branch[-1].role != "assistant":
        raise UserError("There is no answer to rate.", "Nothing was kept.", "Ask first.")
    if is_good and not branch[-1].is_final:
        raise UserError(
            "Half an answer cannot be a good one.",
            f"It is incomplete: {branch[-1].reason.rstrip('.')}.",
            "/again asks once more; /correct TEXT keeps what it should have been.",
        )
    rate(here.chats, branch[-1].id, is_good=is_good, correction=correction)
    here.screen.note(_kept_words(here, makes_row=is_good or bool(correction)))


def _kept_words(here: Here, *, makes_row: bool) -> str:
    if not here.is_kept:
        return "Noted, until you leave: nothing can be kept here."
    if makes_row:
        return "Kept; `tunedesk chat --export-rows FILE` makes a training row of it."
    return "Kept. A bad answer makes a training row once /correct TEXT says what is right."


def _text(rest: str, word: str, what: str) -> str:
    if not rest:
        raise UserError(f"The {what} is missing.", "", f"Write {word} and the {what}.")
    return rest
