"""A library as a conversation asks it: passages for a query, or one document as a whole."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from desktop.chat.budget import whole_document_fits
from desktop.chat.counting import Counter
from desktop.chat.passages import Passage, numbered
from desktop.chat.prompt import whole_document_text
from desktop.documents.library import Library, with_library
from desktop.documents.lookup import PostingsCache
from desktop.documents.packs import Pack
from desktop.documents.passages import Answer, WholeText, ask, whole_document
from desktop.documents.shelf import Place

PASSAGES = 10
_WORDS_PER_TOKEN = 4  # far more than any vocabulary has, for joined names count several times


@dataclass
class Source:
    """The documents of a conversation. file: pins one of them. last: what the newest search found.

    say: told what was repaired.
    """

    place: Place
    file: str = ""
    packs: Sequence[Pack] = ()
    k: int = PASSAGES
    say: Callable[[str], None] = lambda told: None
    last: Answer | None = None
    _cache: PostingsCache = field(default_factory=PostingsCache)

    async def search(self, query: str) -> Sequence[Passage]:
        """The best passages, best first, not numbered yet. Raises UserError."""

        def work(library: Library) -> Answer:
            return ask(library, query, self.packs, self.k, self.file, self._cache)

        self.last = await asyncio.to_thread(with_library, self.place.folder, work, self.say)
        return numbered(self.last.passages)

    async def whole(self, window: int, counter: Counter, control_texts: Sequence[str]) -> "Whole":
        """The one document of the conversation, if it fits into every prompt of that window.

        Raises UserError if `file` names none or several.
        """

        def work(library: Library) -> WholeText:
            return whole_document(library, self.file, window * _WORDS_PER_TOKEN)

        found = await asyncio.to_thread(with_library, self.place.folder, work, self.say)
        name, passages = found.name, numbered(found.passages)
        if found.is_too_long:
            return Whole(name, why=f"{name} is too long to be sent whole; passages are searched.")
        if not passages:
            return Whole(name)
        text = whole_document_text(passages, control_texts)
        messages = [{"role": "system", "content": text}, {"role": "user", "content": ""}]
        tokens = await counter.prompt(messages)  # the instructions before it included
        if not whole_document_fits(window, tokens, 0):
            why = (
                f"{name} has {tokens:,} tokens, too many to be sent whole: a window of {window:,} "
                "also holds the talk and the answer. Passages are searched."
            )
            return Whole(name, why=why)
        empty = found.pages_without_text
        why = (
            f"{name} fits into the window: all of it goes with each question ({tokens:,} tokens "
            "with the instructions)."
            + f" {empty} of its pages {'has' if empty == 1 else 'have'} no text." * (empty > 0)
        )
        return Whole(name, passages, text, why)


@dataclass(frozen=True)
class Whole:
    """name: of the one document, "" if there are several. passages: () if it does not fit.

    system: the text that stands before the conversation. why: one sentence for the person.
    """

    name: str
    passages: tuple[Passage, ...] = ()
    system: str = ""
    why: str = ""
