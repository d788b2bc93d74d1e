"""A real Ollama as the place where models are served."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from converters.errors import UserError
from converters.events import ShouldStop
from desktop.chat.opening import Talker, TalkWish, ollama_talker
from desktop.jobs.spec import BaseFile, Engine
from desktop.ollama_api import publish
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import ModelNotFound, OllamaNotRunning, OllamaStalled
from desktop.ollama_api.inherit import Inheritance, inherit, inheritance_of
from desktop.ollama_api.replies import ChatAnswer, Tag
from desktop.ollama_api.store import locate_store, model_file
from desktop.ollama_api.versions import behaviour
from desktop.serving.protocol import (
    Chat,
    HeldModel,
    ImportRoom,
    NewModel,
    OnBytes,
    Resident,
    StoredModel,
)
from desktop.serving.templateless import TemplatelessModels

KEEP_LOADED = "10m"
TOP_LOGPROBS = 20


class OllamaServer:
    """The implementation of `Serving` over one Ollama server."""

    engine: Engine = "ollama"

    def __init__(self, client: OllamaClient, version: str) -> None:
        self._client = client
        self.host = client.url
        self.version = version
        self._server = behaviour(version)
        self._rendered: set[str] = set()  # models that this client has had loaded
        self._templateless = TemplatelessModels(client, self._server)

    async def held(self) -> list[HeldModel]:
        """See `Serving.held`."""
        return [await self._held(tag) for tag in await self._client.tags()]

    async def base_file(self, name: str) -> BaseFile:
        """See `Serving.base_file`."""
        from converters.gguf.header import read_header

        path, sha256 = await model_file(self._client, name)
        header = read_header(path)
        digests = {tag.name: tag.digest for tag in await self._client.tags()}
        full = name if name in digests else f"{name}:latest"
        return BaseFile(
            model=name, path=path, sha256=sha256, digest=digests.get(full, ""),
            architecture=header.architecture, n_bytes=header.file_bytes,
        )

    async def inherit(self, name: str) -> Inheritance:
        """See `Serving.inherit`."""
        found = await inherit(self._client, name, self._server)
        return await self._templateless.completed(found)

    async def require_free_name(self, name: str, *, replace: bool) -> None:
        """See `Serving.require_free_name`."""
        await publish.require_free_name(self._client, name, replace=replace)

    async def render(self, name: str, messages: Chat, think: bool | None) -> str:
        """See `Serving.render`."""
        own = await self._templateless.render(name, messages)
        if own is not None:
            return own
        try:
            text = await self._render(name, messages, think, is_loaded=name in self._rendered)
        except OllamaStalled:
            # A request that got lost, or a model unloaded meanwhile: nothing was generated.
            text = await self._render(name, messages, think, is_loaded=False)
        self._rendered.add(name)
        return text

    async def create(
        self, model: NewModel, on_bytes: OnBytes, should_stop: ShouldStop
    ) -> StoredModel:
        """See `Serving.create`."""
        name = model.name if model.is_proven else publish.unproven_name(model.name)
        inheritance = self._templateless.in_words_of_server(model.inheritance, model.gguf)
        published = await publish.publish(
            self._client, model.gguf, model.sha256, name, inheritance,
            context_length=model.context_length, store=await locate_store(self._client),
            on_progress=on_bytes, should_stop=should_stop,
        )
        return StoredModel(
            model=published.model, digest=published.digest, blob_kept=published.blob_kept,
            linked=published.linked, notes=published.notes,
            orphans=tuple((orphan.digest, orphan.n_bytes) for orphan in published.orphans),
        )

    async def holds(self, name: str, sha256: str) -> bool:
        """See `Serving.holds`."""
        try:
            shown = await self._client.show(name)
        except ModelNotFound:
            return False
        return f"sha256-{sha256}" in shown.modelfile

    async def promote(self, unproven: str, name: str) -> None:
        """See `Serving.promote`."""
        await publish.promote(self._client, unproven, name)

    async def release(self, name: str) -> None:
        """See `Serving.release`."""
        await self._client.unload(name)

    async def resident(self) -> list[Resident]:
        """See `Serving.resident`."""
        return [
            Resident(loaded.name, loaded.n_bytes, loaded.vram_bytes)
            for loaded in await self._client.ps()
        ]

    async def import_room(self, source: Path) -> ImportRoom:
        """See `Serving.import_room`."""
        copies = behaviour(self.version).import_copies
        store = await locate_store(self._client)
        if store is None:
            return ImportRoom(None, copies, f"Ollama's store is not on this machine ({self.host}).")
        if store.can_link(source):
            why = "the file is linked into Ollama's store, not copied"
            return ImportRoom(store.root, copies - 1, why)
        times = "once" if copies == 1 else f"{copies} times"
        why = f"Ollama {self.version} needs the file's size {times} in its own store"
        return ImportRoom(store.root, copies, why)

    async def answer(self, name: str, messages: Chat, max_tokens: int | None) -> ChatAnswer:
        """See `Serving.answer`."""
        request: dict[str, Any] = {"keep_alive": KEEP_LOADED}
        if max_tokens is not None:
            request |= {
                "options": {"temperature": 0, "num_predict": max_tokens, "seed": 0},
                "logprobs": True, "top_logprobs": TOP_LOGPROBS,
            }
        return await self._client.chat(name, messages, **request)

    def talker(self, name: str, wish: TalkWish) -> AbstractAsyncContextManager[Talker]:
        """See `Serving.talker`."""
        return ollama_talker(self._client, name, wish)

    async def stops(self, name: str) -> tuple[str, ...]:
        """See `Serving.stops`."""
        shown = await self._client.show(name, verbose=True)
        return inheritance_of(shown, self._server).stops

    async def _render(
        self, name: str, messages: Chat, think: bool | None, *, is_loaded: bool
    ) -> str:
        return await self._client.render(
            name, messages, think=think, is_loaded=is_loaded, keep_alive=KEEP_LOADED
        )

    async def close(self) -> None:
        """See `Serving.close`."""
        await self._client.close()

    async def _held(self, tag: Tag) -> HeldModel:
        path, reason = None, ""
        try:
            path, _ = await model_file(self._client, tag.name)
        except OllamaNotRunning:
            raise
        except UserError as error:  # one damaged model must not hide the others
            reason = " ".join(part for part in (error.title, error.detail) if part)
        return HeldModel(
            name=tag.name, digest=tag.digest, family=tag.family, parameters=tag.parameters,
            quantization=tag.quantization, n_bytes=tag.n_bytes, path=path, reason=reason,
        )
