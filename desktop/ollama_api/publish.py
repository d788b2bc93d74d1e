"""A finished GGUF into Ollama: blob, model, comparison of what was stored with what was sent.

How the file gets there is `delivery`'s. Everything is created under the unproven name; `promote`
gives the real one after the proofs (DESIGN 5).
"""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from converters.errors import Stopped, UserError
from converters.events import ShouldStop
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.delivery import Delivery, OnProgress
from desktop.ollama_api.errors import BlobMissing, ModelNotFound, OllamaError, PublishedDiffers
from desktop.ollama_api.inherit import Inheritance, create_fields
from desktop.ollama_api.names import check_name, parse_name, same_name, unproven_name
from desktop.ollama_api.readback import differences
from desktop.ollama_api.replies import Show
from desktop.ollama_api.rewritten import same_weights
from desktop.ollama_api.store import Orphan, Store, blob_path, orphans
from desktop.ollama_api.templates import template_plan
from desktop.ollama_api.versions import CHILD_ENGINE, VersionTooOld, behaviour

__all__ = [
    "Published", "check_name", "exists", "promote", "publish", "require_free_name", "unproven_name",
]  # fmt: skip

FILE_NAME = "model.gguf"
POLL_S = 0.1
REWRITE_BYTES_PER_S = 20e6


@dataclass(frozen=True)
class Published:
    """A created and compared model. digest: of the stored GGUF, 64 hex digits.

    blob_kept: the store already had this file. linked: it is a hard link of the local file, which
    is read-only now. orphans: files in the store that no model uses. notes: sentences for the
    person (an unknown version, a second upload).
    """

    model: str
    digest: str
    blob_kept: bool
    linked: bool
    orphans: tuple[Orphan, ...] = ()
    notes: tuple[str, ...] = ()


async def publish(
    client: OllamaClient,
    gguf: Path,
    sha256: str,
    name: str,
    inheritance: Inheritance,
    *,
    context_length: int = 0,
    store: Store | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Published:
    """Put `gguf` into the server as `name` (as given: callers pass `unproven_name(...)`).

    sha256: of the file, 64 hex digits. context_length: the GGUF's, in tokens (0 = unknown).
    store: the server's, if it is on this machine. Raises `NameRefused`, `VersionTooOld`,
    `ImportFailed`, `StoreFull`, `BlobDamaged`, `PublishedDiffers`, other `OllamaError`s, and
    `Stopped` within 0.2 s of should_stop. The local file always remains. A base whose kind is
    "jinja" needs the Jinja of `templates.template_plan` in the GGUF.
    """
    work = _Publication(client, gguf, sha256, name, inheritance, context_length, store, on_progress)
    return await _until_stopped(work.run(), should_stop)


async def promote(client: OllamaClient, unproven: str, name: str) -> None:
    """Give a proven model its real name and remove the unproven one."""
    await client.copy(unproven, name)
    await client.delete(unproven)


async def exists(client: OllamaClient, name: str) -> bool:
    """True if the server has a model that answers to `name`."""
    try:
        await client.show(name)
    except ModelNotFound:
        return False
    return True


async def require_free_name(client: OllamaClient, name: str, *, replace: bool) -> None:
    """Raise `NameRefused` for an impossible name, `UserError` for a taken one (unless replace)."""
    check_name(name)
    taken = next((tag.name for tag in await client.tags() if same_name(tag.name, name)), "")
    if taken and not replace:
        raise UserError(
            f"Ollama already has a model named {taken!r}.",
            "Nothing was changed.",
            "Choose another name, or add `--replace`.",
        )


class _Publication:
    """The steps of one publish call."""

    def __init__(
        self, client: OllamaClient, gguf: Path, sha256: str, name: str, inheritance: Inheritance,
        context_length: int, store: Store | None, on_progress: OnProgress | None,
    ) -> None:  # fmt: skip
        self._client = client
        self._gguf = gguf
        self._sha256 = sha256
        self._name = name
        self._inheritance = inheritance
        self._plan = template_plan(inheritance)
        self._fields = create_fields(inheritance, self._plan.template, context_length)
        self._store = store
        self._on_progress = on_progress or (lambda what, done, total: None)
        self._notes: list[str] = []

    async def run(self) -> Published:
        parse_name(self._name)
        self._server = behaviour(await self._client.version())
        self._delivery = Delivery(
            self._client, self._gguf, self._sha256, self._name, self._store, self._server,
            self._on_progress,
        )  # fmt: skip
        self._require_template()
        self._notes += [self._server.note] if self._server.note else []
        self._notes += [
            f"The parameter {name} of the base was left out: the server refuses or ignores it."
            for name in self._inheritance.dropped
        ]
        blob_kept = await self._delivery.already_there()
        if not blob_kept:
            await self._delivery.bring()
        await self._create_with_second_upload()
        digest = await self._compare()
        left = orphans(self._store) if self._store and self._store.is_readable else ()
        return Published(
            self._name, digest, blob_kept, self._delivery.linked, tuple(left), tuple(self._notes)
        )

    def _require_template(self) -> None:
        if self._inheritance.kind == "jinja" and not self._server.reads_jinja:
            raise VersionTooOld(
                self._server.version,
                "It does not use the chat template inside the model's file.", CHILD_ENGINE,
            )

    async def _create_with_second_upload(self) -> None:
        try:
            await self._create()
        except BlobMissing:
            self._notes.append("Ollama had dropped the uploaded file; it was sent a second time.")
            await self._delivery.bring()
            await self._create()

    async def _create(self) -> None:
        files = {FILE_NAME: f"sha256:{self._sha256}"}
        creation = self._client.create(
            self._name, silence_s=self._silence_s(), files=files, **self._fields
        )
        try:
            async with aclosing(creation):
                async for status in creation:
                    self._on_progress(status.status, status.completed, status.total)
        except BlobMissing:
            raise
        except OllamaError as error:
            raise self._delivery.failed("created in", error) from error

    def _silence_s(self) -> float | None:
        """A rewrite ends with one silent pass over the file ("verifying conversion")."""
        if not self._server.rewrites_imports:
            return None
        return self._client.limits.line_s + self._gguf.stat().st_size / REWRITE_BYTES_PER_S

    async def _compare(self) -> str:
        """The digest of the stored file. Raises `PublishedDiffers` after removing the model."""
        shown = await self._client.show(self._name)
        digest = await self._digest_of_rewrite(shown) or self._sha256
        found = differences(
            shown, digest, self._fields, self._inheritance, self._plan, self._server
        )
        if found:
            await self._client.delete(self._name)
            raise PublishedDiffers(self._name, " ".join(found), str(self._gguf))
        return digest

    async def _digest_of_rewrite(self, shown: Show) -> str:
        """The digest of the file that the server made of ours, "" if it did not, or if the two
        cannot be compared or hold other weights."""
        blob = blob_path(shown)
        if not self._server.rewrites_imports or blob is None or self._sha256 in blob.name:
            return ""
        if not (blob.is_file() and os.access(blob, os.R_OK)):
            return ""
        if not await asyncio.to_thread(same_weights, self._gguf, blob):
            return ""
        self._notes.append(
            f"Ollama {self._server.version} wrote the file anew in its own order: the weights are "
            "the same, the digest is another one. The uploaded copy stays until its next start."
        )
        return blob.name.removeprefix("sha256-")


async def _until_stopped[T](work: Awaitable[T], should_stop: ShouldStop | None) -> T:
    """Await `work`, asking should_stop ten times a second; a stop cancels it and closes sockets."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=POLL_S if should_stop else None))[0]:
            if should_stop and should_stop():
                raise Stopped
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
