"""A finished GGUF into Ollama: blob, model, comparison of what was stored with what was sent.

The file goes in by hard link where the store is ours to write, else by upload. Everything is
created under the unproven name; `promote` gives the real one after the proofs (DESIGN 5).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from converters.errors import Stopped, UserError
from converters.events import ShouldStop
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    BlobDamaged,
    BlobMissing,
    ImportFailed,
    ModelNotFound,
    OllamaError,
    OllamaRefused,
    PublishedDiffers,
    StoreFull,
)
from desktop.ollama_api.inherit import Inheritance, create_fields
from desktop.ollama_api.names import check_name, parse_name, same_name, unproven_name
from desktop.ollama_api.readback import differences
from desktop.ollama_api.store import Orphan, Store, orphans
from desktop.ollama_api.templates import template_plan
from desktop.ollama_api.versions import behaviour, require_import

__all__ = [
    "Published", "check_name", "exists", "promote", "publish", "require_free_name", "unproven_name",
]  # fmt: skip

FILE_NAME = "model.gguf"
POLL_S = 0.1
HASH_PIECE_BYTES = 16 << 20
OnProgress = Callable[[str, int, int], None]
"""Told (what is being done, bytes done, bytes in all)."""


@dataclass(frozen=True)
class Published:
    """A created and compared model. digest: of the GGUF, 64 hex digits.

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
        self._linked = False

    async def run(self) -> Published:
        parse_name(self._name)
        server = behaviour(await self._client.version())
        require_import(server)
        self._notes += [server.note] if server.note else []
        self._notes += [
            f"The parameter {name} of the base was left out: current servers refuse or ignore it."
            for name in self._inheritance.dropped
        ]
        blob_kept = await self._client.has_blob(self._sha256)
        if blob_kept:
            await self._check_kept_blob()
        else:
            await self._bring_blob()
        await self._create_with_second_upload()
        await self._compare()
        left = orphans(self._store) if self._store and self._store.is_readable else ()
        return Published(
            self._name, self._sha256, blob_kept, self._linked, tuple(left), tuple(self._notes)
        )

    async def _check_kept_blob(self) -> None:
        """The server never reads a file that it has; here we do, where we can."""
        if self._store and self._store.is_readable:
            blob = self._store.blob(self._sha256)
            if blob.is_file() and await _sha256_of(blob) != self._sha256:
                raise BlobDamaged(str(blob))

    async def _bring_blob(self) -> None:
        if self._store and await self._link(self._store):
            self._linked = True
            return
        n_bytes = self._gguf.stat().st_size
        self._require_room(n_bytes)
        self._on_progress("uploading", 0, n_bytes)
        try:
            await self._client.upload_blob(
                self._gguf,
                self._sha256,
                lambda sent: self._on_progress("uploading", sent, n_bytes),
            )
        except OllamaError as error:
            raise self._failed("uploaded to", error) from error

    def _require_room(self, n_bytes: int) -> None:
        if self._store and self._store.is_readable and self._store.free_bytes < n_bytes:
            text = f"{n_bytes:,} bytes are needed, {self._store.free_bytes:,} are free."
            raise StoreFull(text, str(self._gguf))

    def _failed(self, step: str, error: OllamaError) -> OllamaError:
        """The error of a step in the words of this flow: the local file is kept."""
        text = error.text if isinstance(error, OllamaRefused) else ""
        if "no space left" in text.lower():
            return StoreFull(text, str(self._gguf))
        if "digest mismatch" in text:
            return PublishedDiffers(self._name, f"{text}.", str(self._gguf))
        return ImportFailed(step, f"{error.title} {error.detail}", str(self._gguf))

    async def _link(self, store: Store) -> bool:
        """Try the hard link; False if this store cannot have one. Nothing is left behind then."""
        if not store.can_link(self._gguf):
            return False
        actual = await _sha256_of(self._gguf)
        if actual != self._sha256:
            difference = f"Its SHA-256 is {actual}, {self._sha256} was written."
            raise PublishedDiffers(self._name, difference, str(self._gguf))
        blob = store.link(self._gguf, self._sha256)
        # Another server's store, a container's, or a wrong guess: the server itself must see it.
        if not await self._client.has_blob(self._sha256):
            blob.unlink()
            return False
        # One file under two names now: an edit of ours would corrupt the store's.
        self._gguf.chmod(0o444)
        return True

    async def _create_with_second_upload(self) -> None:
        try:
            await self._create()
        except BlobMissing:
            self._notes.append("Ollama had dropped the uploaded file; it was sent a second time.")
            self._linked = False
            await self._bring_blob()
            await self._create()

    async def _create(self) -> None:
        files = {FILE_NAME: f"sha256:{self._sha256}"}
        creation = self._client.create(self._name, files=files, **self._fields)
        try:
            async with aclosing(creation):
                async for status in creation:
                    self._on_progress(status.status, status.completed, status.total)
        except BlobMissing:
            raise
        except OllamaError as error:
            raise self._failed("created in", error) from error

    async def _compare(self) -> None:
        shown = await self._client.show(self._name)
        found = differences(shown, self._sha256, self._fields, self._inheritance, self._plan)
        if found:
            await self._client.delete(self._name)
            raise PublishedDiffers(self._name, " ".join(found), str(self._gguf))


async def _sha256_of(path: Path) -> str:
    """In pieces, so that a cancelled publication stops reading."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, HASH_PIECE_BYTES):
            await asyncio.to_thread(digest.update, piece)
    return digest.hexdigest()


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
