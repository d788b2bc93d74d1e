"""What `ask` and `chat` share: the model, the documents, and Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from converters.errors import Stopped
from desktop.chat.budget import DEFAULT_WINDOW
from desktop.chat.opening import Talker, TalkWish
from desktop.chat.sources import Source
from desktop.commands.consent_question import say_aside
from desktop.commands.context import Context
from desktop.documents.packs import shipped_packs
from desktop.documents.shelf import find_library
from desktop.ollama_api.outage import News
from desktop.serving.choice import Patience, choose

RECONNECT_S = 30.0


@dataclass
class Waiting:
    """Waits for an Ollama that restarts, and tells the person (FAULTS F10). is_given_up: Ctrl-C."""

    is_given_up: bool = False

    def __call__(self, news: News) -> None:
        """Take news of an outage. Raises Stopped once it is given up."""
        if self.is_given_up:
            raise Stopped
        if news == "lost":
            say_aside(f"Ollama does not answer. Waiting up to {RECONNECT_S:.0f} s for it ...")
        elif news == "back":
            say_aside("Ollama is back.")


@asynccontextmanager
async def opened_talker(
    context: Context, model: str, wish: TalkWish, waiting: Waiting
) -> AsyncIterator[Talker]:
    """The model, served by what the options say; that is said."""
    patience = Patience(RECONNECT_S, waiting, from_start=False)
    chosen = await choose(context.home, context.host, context.engine, patience)
    try:
        say_aside(chosen.why)
        async with chosen.serving.talker(model, wish) as talker:
            window = talker.engine.window
            if window < wish.window != DEFAULT_WINDOW:
                say_aside(
                    f"The window is {window:,} tokens, all that {model} has; "
                    f"{wish.window:,} were asked for."
                )
            yield talker
    finally:
        await chosen.serving.close()


@contextmanager
def stopping(stop: Callable[[], None], waiting: Waiting) -> Iterator[None]:
    """Ctrl-C ends the answer inside the block, and not the program; its text is kept."""

    def end() -> None:
        waiting.is_given_up = True
        stop()

    waiting.is_given_up = False
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, end)
    except (NotImplementedError, RuntimeError):  # Windows, or not the main thread: Ctrl-C ends all
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def source_of(context: Context, library: str, file: str, packs: bool, k: int) -> Source:
    """The documents of a library. Raises UserError if there is no such library."""
    place = find_library(context.home.libraries, library)
    return Source(place, file, shipped_packs() if packs else (), k, say_aside)
