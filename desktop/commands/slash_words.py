"""What a line with a slash does in `tunedesk chat`, beside asking."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from converters.errors import UserError
from desktop.chat.conversations import Conversations
from desktop.chat.news import News
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


@dataclass
class Here:
    """A conversation that is being talked in. last: what the newest question brought."""

    chats: Conversations
    conversation: int
    session: ChatSession
    screen: Screen
    last: Told = field(default_factory=Told)

    def turns(self, role: str) -> list[Turn]:
        """The turns of the branch that is shown."""
        return [turn for turn in self.chats.branch(self.conversation) if turn.role == role]


def act(here: Here, word: str, rest: str) -> AsyncGenerator[News] | None:
    """Do what a word says; an answer that is to be shown, or None. Raises UserError."""
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
            planned = here.last.planned
            here.screen.line(passages_text(planned) if planned else "Nothing was sent yet.")
        case "/help" | "/?":
            here.screen.line(HELP)
        case _:
            raise UserError(f"{word} is not known.", "", "/help shows what can be done.")
    return None


def _question(here: Here) -> Turn:
    questions = here.turns("user")
    if not questions:
        raise UserError("Nothing was asked yet.", "", "Write a question.")
    return questions[-1]


def _rate(here: Here, *, is_good: bool, correction: str = "") -> None:
    answers = here.turns("assistant")
    if not answers:
        raise UserError("There is no answer to rate yet.", "", "Ask first.")
    rate(here.chats, answers[-1].id, is_good=is_good, correction=correction)
    kept = "The correction is kept" if correction else "The rating is kept"
    here.screen.note(f"{kept}; `tunedesk chat --export-rows FILE` makes training rows of it.")


def _text(rest: str, word: str, what: str) -> str:
    if not rest:
        raise UserError(f"The {what} is missing.", "", f"Write {word} and the {what}.")
    return rest
