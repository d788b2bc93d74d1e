"""What `ask` and `chat` share: the model, the documents, their owner's consent, and Ctrl-C."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from converters.errors import Stopped
from desktop.chat.consent import require_consent
from desktop.chat.opening import Talker, TalkWish
from desktop.chat.sources import Source
from desktop.commands.context import Context
from desktop.core.terminal_text import harmless_text
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


def require_allowed(context: Context, talker: Talker, allowed: Sequence[str]) -> None:
    """Ask the person, once for each host, before a document leaves this machine (FAULTS S8)."""

    def ask(host: str) -> bool | None:
        if host in allowed or host.rpartition(":")[0] in allowed:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        print(
            harmless_text(
                f"{talker.engine.model} does not run on this machine but on {host}. Passages of "
                f"your documents would go there with each question. Allow {host}, from now on? "
                "[y/N] "
            ),
            end="", file=sys.stderr, flush=True,
        )  # fmt: skip
        return _line_from_person().strip().lower() in ("y", "yes")

    require_consent(context.home, talker.destinations, ask, say_aside)


def _line_from_person() -> str:
    """A line of the terminal; Ctrl-C ends the program at once, though a loop runs around it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)


def say_aside(text: str) -> None:
    """A sentence that is not the answer."""
    print(harmless_text(text), file=sys.stderr, flush=True)
