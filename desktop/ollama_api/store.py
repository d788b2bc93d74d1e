"""Ollama's model store on this machine: where it is, a model's file in it, and what is left over.

Reading is safe anywhere, since files are named by their content; writing is believed only after
the server itself has seen the file (publish.py). Layout: FACTS 3.4.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import UserError
from converters.modelfile import parse_modelfile
from desktop.ollama_api.address import is_loopback
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaError, OllamaRefused
from desktop.ollama_api.replies import Show

BLOB_NAME = re.compile(r"sha256-([0-9a-f]{64})")
MANIFEST_LIMIT_BYTES = 4 << 20
SERVICE_STORE = Path("/usr/share/ollama/.ollama/models")


@dataclass(frozen=True)
class Store:
    """A folder with `blobs` and `manifests`, as seen by this user."""

    root: Path

    @property
    def blobs(self) -> Path:
        """The folder of the files, named `sha256-<hex>`."""
        return self.root / "blobs"

    @property
    def is_readable(self) -> bool:
        """This user may list and read it."""
        return self.blobs.is_dir() and os.access(self.blobs, os.R_OK | os.X_OK)

    @property
    def is_writable(self) -> bool:
        """This user may put files into it."""
        return self.is_readable and os.access(self.blobs, os.W_OK)

    @property
    def free_bytes(self) -> int:
        """Free space on its file system."""
        return shutil.disk_usage(self.root).free

    def blob(self, digest: str) -> Path:
        """The path of a file. digest: 64 hex digits."""
        return self.blobs / f"sha256-{digest}"

    def can_link(self, path: Path) -> bool:
        """True if a hard link of `path` in the store is possible."""
        return self.is_writable and path.stat().st_dev == self.blobs.stat().st_dev

    def link(self, path: Path, digest: str) -> Path:
        """Hard-link `path` as the blob `digest`, by a rename, so that it appears whole."""
        blob = self.blob(digest)
        partial = blob.with_name(blob.name + f"-tunedesk-{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        partial.hardlink_to(path)
        return partial.replace(blob)


@dataclass(frozen=True)
class Orphan:
    """A file in the store that no model uses; Ollama removes it at a start, when 1 h old."""

    digest: str
    n_bytes: int


async def locate_store(client: OllamaClient) -> Store | None:
    """The server's store if this machine has it, else None.

    The server's own word (a FROM line of one of its models) goes first; without a model the usual
    folders are asked, and one counts only if the server knows a file that lies in it.
    """
    if not is_loopback(client.url):
        return None
    for tag in await client.tags():
        path = None if tag.is_remote else await _blob_path_of(client, tag.name)
        if path is not None:
            return Store(path.parent.parent) if path.parent.is_dir() else None
    for root in _usual_folders():
        if await _is_servers(client, Store(root)):
            return Store(root)
    return None


async def _blob_path_of(client: OllamaClient, name: str) -> Path | None:
    try:
        return blob_path(await client.show(name))
    except OllamaRefused:  # a damaged model says nothing about the store; the next one may
        return None


def blob_path(show: Show) -> Path | None:
    """The path in the FROM line of a model, as the server sees it; None if it has no file."""
    for value in parse_modelfile(show.modelfile).all("from"):
        path = Path(value)
        if path.is_absolute() and BLOB_NAME.fullmatch(path.name):
            return path
    return None


async def model_file(client: OllamaClient, name: str) -> tuple[Path, str]:
    """The GGUF of a model on this machine, checked, and its digest (64 hex digits).

    Raises `ModelNotFound`; `UserError` for a model of the cloud, one whose file is not on this
    machine or not readable, one that is no GGUF, or whose size is not the manifest's.
    """
    show = await client.show(name)
    if show.is_remote:
        raise UserError(
            f"{name!r} runs on another machine ({show.remote_host or 'the cloud'}).",
            "Its weights are not here, so it cannot be tuned.",
            "Choose a model that is stored on this machine.",
        )
    path = blob_path(show)
    if path is None or not path.is_file():
        raise UserError(
            f"The file of {name!r} is not on this machine.",
            f"Ollama at {client.url} keeps it in {path or 'a place it does not tell'}.",
            "Run Tunedesk on the machine (or in the container) where Ollama runs.",
        )
    return _checked(name, path), path.name.removeprefix("sha256-")


def orphans(store: Store) -> list[Orphan]:
    """Every file that no manifest names, largest first."""
    used = {layer["digest"].replace(":", "-") for layer in _layers(store)}
    found = [
        Orphan(match[1], path.stat().st_size)
        for path in store.blobs.iterdir()
        if (match := BLOB_NAME.fullmatch(path.name)) and path.name not in used
    ]
    return sorted(found, key=lambda orphan: -orphan.n_bytes)


def _checked(name: str, path: Path) -> Path:
    if not os.access(path, os.R_OK):
        raise UserError(
            f"The file of {name!r} cannot be read by you.",
            f"It is {path}, which belongs to the user that runs Ollama.",
            "Add yourself to the group of that user (usually `ollama`), then sign in again.",
        )
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise UserError(
            f"The file of {name!r} is not a GGUF.",
            f"{path} begins with {magic!r}.",
            "It is damaged or of another kind; pull the model again.",
        )
    _check_size(name, path)
    return path


def _check_size(name: str, path: Path) -> None:
    store = Store(path.parent.parent)
    digest = path.name.replace("-", ":", 1)
    sizes = {int(layer["size"]) for layer in _layers(store) if layer["digest"] == digest}
    actual = path.stat().st_size
    if sizes and actual not in sizes:
        raise UserError(
            f"The file of {name!r} is damaged.",
            f"{path} has {actual:,} bytes, the manifest says {min(sizes):,}.",
            "Remove the model in Ollama and pull it again.",
        )


def _layers(store: Store) -> Iterator[dict[str, Any]]:
    """Every layer of every manifest, configurations included; unreadable files are no manifests."""
    manifests = store.root / "manifests"
    for path in manifests.rglob("*"):
        if not path.is_file() or path.stat().st_size > MANIFEST_LIMIT_BYTES:
            continue
        try:
            manifest = json.loads(path.read_bytes())
        except (ValueError, PermissionError):
            continue
        if isinstance(manifest, dict):
            entries = [manifest.get("config"), *(manifest.get("layers") or ())]
            yield from (entry for entry in entries if _is_layer(entry))


def _is_layer(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("digest"), str) and "size" in entry


def _usual_folders() -> list[Path]:
    named = os.environ.get("OLLAMA_MODELS")
    own = Path.home() / ".ollama" / "models"
    return [folder for folder in ([Path(named)] if named else []) + [own, SERVICE_STORE]
            if (folder / "blobs").is_dir()]  # fmt: skip


async def _is_servers(client: OllamaClient, store: Store) -> bool:
    if not store.is_readable:
        return False
    for path in store.blobs.iterdir():
        if match := BLOB_NAME.fullmatch(path.name):
            try:
                return await client.has_blob(match[1])
            except OllamaError:
                return False
    return False
