"""The one interface behind which models are served: by Ollama or by the built-in engine."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from converters.events import ShouldStop
from desktop.chat.opening import Talker, TalkWish
from desktop.core.records import Record
from desktop.jobs.spec import BaseFile, Engine
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.replies import ChatAnswer

Chat = Sequence[dict[str, str]]
OnBytes = Callable[[str, int, int], None]
"""Told (what is being done, bytes done, bytes in all)."""


class HeldModel(Record):
    """One model as its server lists it. `path` is None where its file is not on this machine, and
    `reason` then says why; n_bytes counts all of its layers."""

    name: str
    digest: str
    family: str
    parameters: str
    quantization: str
    n_bytes: int
    path: Path | None
    reason: str


class StoredModel(Record):
    """A model that was just created. orphans: (digest, bytes) of files that no model uses."""

    model: str
    digest: str
    blob_kept: bool
    linked: bool
    orphans: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewModel:
    """What is to be created: the finished file, and what it inherits.

    context_length in tokens, 0 if unknown. is_proven False: it is created under the name that
    `name` has until its proofs passed.
    """

    gguf: Path
    sha256: str
    name: str
    inheritance: Inheritance
    context_length: int
    is_proven: bool = True


@dataclass(frozen=True)
class Resident:
    """A model that is in memory now: bytes in all, and those of them on a graphics card."""

    name: str
    n_bytes: int
    card_bytes: int


@dataclass(frozen=True)
class ImportRoom:
    """Where a finished file goes. folder: None if it is not on this machine. copies: how many
    times the file's size is needed there, beside the file itself. why: in words."""

    folder: Path | None
    copies: int
    why: str


class Serving(Protocol):
    """A place that holds models and answers with them. Every method may raise UserError."""

    engine: Engine
    host: str
    version: str

    async def held(self) -> list[HeldModel]:
        """Every model it holds."""
        ...

    async def base_file(self, name: str) -> BaseFile:
        """The file of a model, if it lies here and can be read."""
        ...

    async def inherit(self, name: str) -> Inheritance:
        """What a model made from `name` takes over."""
        ...

    async def require_free_name(self, name: str, *, replace: bool) -> None:
        """Raise UserError if the name is impossible, or taken and not to be replaced."""
        ...

    async def render(self, name: str, messages: Chat, think: bool | None) -> str:
        """The text that the model `name` is given for `messages`."""
        ...

    async def create(
        self, model: NewModel, on_bytes: OnBytes, should_stop: ShouldStop
    ) -> StoredModel:
        """Create the model, compare what was stored, tell what was left over."""
        ...

    async def holds(self, name: str, sha256: str) -> bool:
        """Whether it has a model `name` whose file has this SHA-256."""
        ...

    async def promote(self, unproven: str, name: str) -> None:
        """Give a proven model its real name."""
        ...

    async def release(self, name: str) -> None:
        """Take a model out of memory."""
        ...

    async def resident(self) -> list[Resident]:
        """The models that are in memory now."""
        ...

    async def import_room(self, source: Path) -> ImportRoom:
        """What taking in a file that lies in the folder `source` needs."""
        ...

    async def answer(self, name: str, messages: Chat, max_tokens: int | None) -> ChatAnswer:
        """One answer to a conversation; greedy with log-probabilities where `max_tokens` is set."""
        ...

    def talker(self, name: str, wish: TalkWish) -> AbstractAsyncContextManager[Talker]:
        """The model `name`, ready for a conversation; leaving the block lets it go."""
        ...

    async def stops(self, name: str) -> tuple[str, ...]:
        """The stop texts that the model was created with."""
        ...

    async def close(self) -> None:
        """Let connections and children go."""
        ...
