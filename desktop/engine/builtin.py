"""Models without Ollama: `<home>/models/<our id>/{model.gguf, model.json}`.

A name is a label inside model.json and never a path (threat T9). A folder appears whole or not at
all. Imports neither numpy nor libllama.
"""

import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from converters.durable_files import fsync_folder, publish_folder, write_json
from converters.errors import UserError
from converters.gguf.header import read_header
from desktop.core.catalog import file_sha256
from desktop.ollama_api.names import UNPROVEN, check_name, parse_name, same_name, unproven_name

_FOLDER = re.compile(r"[0-9a-f]{16}")
_STAGED = ".partial"
_GGUF, _CARD = "model.gguf", "model.json"


class Card(BaseModel):
    """What model.json says: how a model is talked to, and what it was made from.

    template: Jinja, "" for the GGUF's own. parameters: sampling options by Ollama's names. base:
    the SHA-256 of the model that was tuned, "" for one that was not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = ""
    system: str = ""
    stops: tuple[str, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    license: str = ""
    base: str = ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    n_bytes: int
    created: str
    card: Card


@dataclass(frozen=True)
class BuiltinModel:
    """A model that the built-in engine holds; created is UTC, ISO 8601."""

    name: str
    gguf: Path
    sha256: str
    n_bytes: int
    created: str
    card: Card


@dataclass(frozen=True)
class Damaged:
    """A folder in the store that is no model, and why. It is shown, never deleted by itself."""

    folder: Path
    reason: str


class BuiltinStore:
    """The models below one folder (`<home>/models`), which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # -- looking -----------------------------------------------------------------------------

    def models(self) -> tuple[BuiltinModel, ...]:
        """All usable models, by name; of two with one name (a crash while replacing) the newer."""
        newest: dict[str, BuiltinModel] = {}
        for folder in self._folders():
            model = _read(folder)
            if isinstance(model, BuiltinModel):
                key = parse_name(model.name).full
                if key not in newest or newest[key].created < model.created:
                    newest[key] = model
        return tuple(sorted(newest.values(), key=lambda model: model.name.lower()))

    def damaged(self) -> tuple[Damaged, ...]:
        """What lies in the store and cannot be used."""
        read = (_read(folder) for folder in self._folders())
        return tuple(found for found in read if isinstance(found, Damaged))

    def exists(self, name: str) -> bool:
        """Whether a model of this name is there."""
        return bool(self._named(name))

    def find(self, name: str) -> BuiltinModel:
        """The model called `name` (the tag `latest` may be left out). Raises UserError."""
        named = self._named(name)
        if named:
            return named[0]
        known = ", ".join(model.name for model in self.models()) or "none"
        raise UserError(
            f"There is no model {ascii(name)}",
            f"The built-in engine holds: {known}.",
            "Choose one of these, or add a GGUF with `tunedesk import FILE.gguf NAME`.",
        )

    # -- changing ----------------------------------------------------------------------------

    def add(
        self,
        gguf: Path,
        name: str,
        card: Card | None = None,
        *,
        sha256: str | None = None,
        replace: bool = False,
    ) -> BuiltinModel:
        """Take a finished file in under `name`, an `unproven_name` too: by hard link, else by copy.

        `gguf` stays. sha256: of the file, where it is already known. Raises UserError for an
        impossible or taken name (the latter not with `replace`), a damaged file, and a disk
        without room for a copy.
        """
        check_name(_promised(name))
        old = self._named(name)
        if old and not replace:
            raise UserError(
                f"The name {name} is taken",
                "The built-in engine already holds a model of that name; it was not touched.",
                "Choose another name, or add --replace.",
            )
        read_header(gguf)
        self._publish(gguf, name, card or Card(), sha256 or file_sha256(gguf))
        for model in old:
            _remove_folder(model.gguf.parent)
        return self.find(name)

    def promote(self, name: str) -> BuiltinModel:
        """Give the unproven model of `name` that name itself; an earlier model of it goes.

        Raises UserError when there is no unproven model.
        """
        model = self.find(unproven_name(name))
        old = self._named(name)
        proven = _File(
            name=name, sha256=model.sha256, n_bytes=model.n_bytes, created=_now(), card=model.card
        )
        write_json(model.gguf.parent / _CARD, proven.model_dump(mode="json"))
        for other in old:
            _remove_folder(other.gguf.parent)
        return self.find(name)

    def remove(self, name: str) -> None:
        """Delete the model called `name`. Raises UserError when there is none."""
        _remove_folder(self.find(name).gguf.parent)

    def _publish(self, gguf: Path, name: str, card: Card, sha256: str) -> None:
        """Make the folder of a new model, whole or not at all."""
        final = self._folder / secrets.token_hex(8)
        staged = final.with_name(final.name + _STAGED)
        staged.mkdir(parents=True)
        try:
            _bring(gguf, staged / _GGUF)
            file = _File(
                name=name, sha256=sha256, n_bytes=gguf.stat().st_size, created=_now(), card=card
            )
            write_json(staged / _CARD, file.model_dump(mode="json"))
            publish_folder(staged, final)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def _named(self, name: str) -> list[BuiltinModel]:
        return [model for model in self.models() if same_name(model.name, name)]

    def _folders(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if _FOLDER.fullmatch(path.name))


def _read(folder: Path) -> BuiltinModel | Damaged:
    gguf = folder / _GGUF
    try:
        file = _File.model_validate_json((folder / _CARD).read_bytes())
        parse_name(file.name)
        n_bytes = gguf.stat().st_size
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return Damaged(folder, f"{_CARD}: {place} {first['msg']}".replace("  ", " "))
    except UserError as error:
        return Damaged(folder, f"{_CARD}: {error.title}")
    except OSError as error:
        return Damaged(folder, f"{Path(error.filename or folder).name}: {error.strerror}")
    if n_bytes != file.n_bytes:
        return Damaged(folder, f"{_GGUF} has {n_bytes:,} bytes instead of {file.n_bytes:,}")
    return BuiltinModel(file.name, gguf, file.sha256, file.n_bytes, file.created, file.card)


def _promised(name: str) -> str:
    """The name that an unproven name becomes; any other name as it is."""
    plain = name.removesuffix(f":{UNPROVEN}").removesuffix(f"-{UNPROVEN}")
    return plain if plain != name and unproven_name(plain) == name else name


def _bring(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without hard links
        _require_room(source, target.parent)
        shutil.copyfile(source, target)


def _require_room(source: Path, folder: Path) -> None:
    needed, free = source.stat().st_size, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            "The disk is too full",
            f"The copy needs {needed:,} bytes, {free:,} are free in {folder}.",
            "Free some space, or choose another folder with --home.",
        )


def _remove_folder(folder: Path) -> None:
    """Out of the list by one rename, then gone: a crash between leaves no half model."""
    doomed = folder.with_name(folder.name + _STAGED)
    folder.rename(doomed)
    fsync_folder(folder.parent)
    shutil.rmtree(doomed)


def _now() -> str:
    return datetime.now(UTC).isoformat()
