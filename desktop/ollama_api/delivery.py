"""A finished GGUF into the server's store: by hard link where the store is ours to write, else by
upload. Checks the room before, and the content wherever this machine can read it.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    BlobDamaged,
    ImportFailed,
    OllamaError,
    OllamaRefused,
    PublishedDiffers,
    StoreFull,
)
from desktop.ollama_api.store import Store
from desktop.ollama_api.versions import Behaviour

HASH_PIECE_BYTES = 16 << 20
UPLOADED = "uploaded to"
OnProgress = Callable[[str, int, int], None]
"""Told (what is being done, bytes done, bytes in all)."""


class Delivery:
    """The way of one file into one store. store: None if it is not on this machine."""

    def __init__(
        self, client: OllamaClient, gguf: Path, sha256: str, name: str, store: Store | None,
        server: Behaviour, on_progress: OnProgress,
    ) -> None:  # fmt: skip
        self._client = client
        self._gguf = gguf
        self._sha256 = sha256
        self._name = name
        self._store = store
        self._server = server
        self._on_progress = on_progress
        self._n_bytes = gguf.stat().st_size
        self.linked = False

    async def already_there(self) -> bool:
        """True if the server holds the file, checked where this machine can read it.

        The server takes a file that it has unread. Raises `BlobDamaged`, `StoreFull`.
        """
        if not await self._client.has_blob(self._sha256):
            return False
        if self._store and self._store.is_readable:
            blob = self._store.blob(self._sha256)
            if blob.is_file() and await sha256_of(blob) != self._sha256:
                raise BlobDamaged(str(blob))
        self._require_room(self._server.import_copies - 1)
        return True

    async def bring(self) -> None:
        """Link or upload. Raises `StoreFull`, `ImportFailed`, `PublishedDiffers`."""
        self.linked = bool(self._store) and await self._link(self._store)
        if self.linked:
            return
        self._require_room(self._server.import_copies)
        self._on_progress("uploading", 0, self._n_bytes)
        try:
            await self._client.upload_blob(
                self._gguf,
                self._sha256,
                lambda sent: self._on_progress("uploading", sent, self._n_bytes),
            )
        except OllamaError as error:
            raise self.failed(UPLOADED, error) from error

    def failed(self, step: str, error: OllamaError) -> OllamaError:
        """The error of a step in the words of this flow: the local file is kept.

        On a full disk the server often cuts the connection without a word, so the disk is asked.
        """
        text = error.text if isinstance(error, OllamaRefused) else ""
        if "digest mismatch" in text:
            return PublishedDiffers(self._name, f"{text}.", str(self._gguf))
        copies = self._server.import_copies - (0 if step == UPLOADED else 1)
        answer = f"It answered: {text}." if "no space left" in text.lower() else ""
        if answer or (self._missing_room(copies) and not text):
            cause = f"{answer} {self._missing_room(copies)}".strip()
            return StoreFull(cause, str(self._gguf))
        return ImportFailed(step, f"{error.title} {error.detail}", str(self._gguf))

    async def _link(self, store: Store) -> bool:
        """Try the hard link; False if this store cannot have one. Nothing is left behind then."""
        if not store.can_link(self._gguf):
            return False
        self._require_room(self._server.import_copies - 1)
        actual = await sha256_of(self._gguf)
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

    def _require_room(self, copies: int) -> None:
        if missing := self._missing_room(copies):
            raise StoreFull(missing, str(self._gguf))

    def _missing_room(self, copies: int) -> str:
        """What the store's disk needs and has, in words; empty if it suffices or is unknown."""
        needed = copies * self._n_bytes
        if not (needed and self._store and self._store.is_readable):
            return ""
        free = self._store.free_bytes
        if free >= needed:
            return ""
        why = f" (Ollama {self._server.version} copies it)" if copies > 1 else ""
        return f"{needed:,} bytes are needed{why}, {free:,} are free."


async def sha256_of(path: Path) -> str:
    """In pieces, so that a cancelled publication stops reading."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, HASH_PIECE_BYTES):
            await asyncio.to_thread(digest.update, piece)
    return digest.hexdigest()
