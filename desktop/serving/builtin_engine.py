"""The built-in engine as the place where models are served, when there is no Ollama."""

from collections import Counter
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from converters.errors import UserError
from converters.events import ShouldStop
from converters.gguf.header import Header, read_header
from desktop.chat.opening import Talker, TalkWish, builtin_talker
from desktop.core.paths import Home
from desktop.engine.builtin import BuiltinModel, BuiltinStore, Card
from desktop.jobs.spec import BaseFile, Engine
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.names import check_name, unproven_name
from desktop.ollama_api.replies import ChatAnswer
from desktop.serving.protocol import (
    Chat,
    HeldModel,
    ImportRoom,
    NewModel,
    OnBytes,
    Resident,
    StoredModel,
)

if TYPE_CHECKING:
    from desktop.engine.child import EngineChild

ANSWER_TOKENS = 512


class BuiltinEngine:
    """The implementation of `Serving` over the models in `<home>/models`."""

    engine: Engine = "builtin"
    host = ""

    def __init__(self, home: Home) -> None:
        self._store = BuiltinStore(home.models)
        self._folder = home.models
        self._readers: dict[Path, EngineChild] = {}
        self.version = version("llama-cpp-python")

    async def held(self) -> list[HeldModel]:
        """See `Serving.held`."""
        return [_held(model) for model in self._store.models()]

    async def base_file(self, name: str) -> BaseFile:
        """See `Serving.base_file`."""
        model = self._store.find(name)
        header = read_header(model.gguf)
        return BaseFile(
            model=name, path=model.gguf, sha256=model.sha256, digest=model.sha256,
            architecture=header.architecture, n_bytes=header.file_bytes,
        )

    async def inherit(self, name: str) -> Inheritance:
        """See `Serving.inherit`."""
        model = self._store.find(name)
        card = model.card
        jinja = card.template or read_header(model.gguf).text("tokenizer.chat_template")
        return Inheritance(
            model=name, kind="jinja" if jinja else "none", jinja=jinja, system=card.system,
            parameters=card.parameters, stops=card.stops,
            license=(card.license,) if card.license else (),
        )

    async def require_free_name(self, name: str, *, replace: bool) -> None:
        """See `Serving.require_free_name`."""
        check_name(name)
        if self._store.exists(name) and not replace:
            raise UserError(
                f"The built-in engine already has a model named {name!r}.",
                "Nothing was changed.", "Choose another name, or add `--replace`.",
            )

    async def render(self, name: str, messages: Chat, think: bool | None) -> str:
        """See `Serving.render`."""
        from desktop.engine.chat import render_prompt, template_of, with_system

        model = self._store.find(name)
        reader = self._reader(model.gguf)
        conversation = with_system(messages, model.card)
        return render_prompt(reader, reader.vocabulary(), template_of(model), conversation)

    async def create(
        self, model: NewModel, on_bytes: OnBytes, should_stop: ShouldStop
    ) -> StoredModel:
        """See `Serving.create`."""
        inherited = model.inheritance
        # A Go template is Ollama's; here the Jinja in the file itself says the same.
        card = Card(
            template=inherited.jinja, system=inherited.system, stops=inherited.stops,
            parameters=dict(inherited.parameters), license="\n".join(inherited.license),
        )
        name = model.name if model.is_proven else unproven_name(model.name)
        added = self._store.add(model.gguf, name, card, sha256=model.sha256, replace=True)
        return StoredModel(
            model=added.name, digest=added.sha256, blob_kept=False,
            linked=added.gguf.samefile(model.gguf),
        )

    async def holds(self, name: str, sha256: str) -> bool:
        """See `Serving.holds`."""
        return self._store.exists(name) and self._store.find(name).sha256 == sha256

    async def promote(self, unproven: str, name: str) -> None:
        """See `Serving.promote`."""
        self._store.promote(name)

    async def release(self, name: str) -> None:
        """See `Serving.release`."""
        await self.close()  # its children hold the vocabulary alone

    async def resident(self) -> list[Resident]:
        """See `Serving.resident`."""
        return []  # it loads a model for one answer and lets it go

    async def import_room(self, source: Path) -> ImportRoom:
        """See `Serving.import_room`."""
        folder = self._folder
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if there.stat().st_dev == source.stat().st_dev:
            return ImportRoom(folder, 0, "the file is linked into the models' folder, not copied")
        return ImportRoom(folder, 1, "the file is copied into the models' folder")

    async def answer(self, name: str, messages: Chat, max_tokens: int | None) -> ChatAnswer:
        """See `Serving.answer`."""
        import time

        from desktop.engine.chat import chat_once

        started = time.monotonic()
        greedy = {"temperature": 0.0} if max_tokens is not None else None
        answer = chat_once(
            self._store.find(name), messages, options=greedy,
            max_tokens=max_tokens or ANSWER_TOKENS, threads=2,
        )
        return ChatAnswer(
            text=answer.text, thinking="", stop_reason=answer.stop_reason,
            prompt_tokens=answer.prompt_tokens, answer_tokens=len(answer.ids),
            seconds=time.monotonic() - started,
        )

    def talker(self, name: str, wish: TalkWish) -> AbstractAsyncContextManager[Talker]:
        """See `Serving.talker`."""
        return builtin_talker(self._store.find(name), wish)

    async def stops(self, name: str) -> tuple[str, ...]:
        """See `Serving.stops`."""
        return self._store.find(name).card.stops

    async def close(self) -> None:
        """See `Serving.close`."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reader(self, gguf: Path) -> "EngineChild":
        from desktop.engine.child import EngineChild

        if gguf not in self._readers:
            self._readers[gguf] = EngineChild(gguf, vocab_only=True)
        return self._readers[gguf]


def _held(model: BuiltinModel) -> HeldModel:
    try:
        header = read_header(model.gguf)
    except UserError as error:
        return HeldModel(
            name=model.name, digest=model.sha256, family="", parameters="", quantization="",
            n_bytes=model.n_bytes, path=None, reason=f"{error.title} {error.detail}",
        )
    weights = sum(info.n_rows * info.row_length for info in header.tensors)
    return HeldModel(
        name=model.name, digest=model.sha256, family=header.architecture,
        parameters=f"{weights / 1e6:.2f}M", quantization=_main_type(header),
        n_bytes=model.n_bytes, path=model.gguf, reason="",
    )


def _main_type(header: Header) -> str:
    """The type that most of the file's bytes are stored in."""
    sizes: Counter[str] = Counter()
    for info in header.tensors:
        sizes[info.type.name] += info.n_bytes
    return sizes.most_common(1)[0][0] if sizes else ""
