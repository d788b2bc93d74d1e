"""The libraries of a home: folders with ids of ours, found by the name that a person gave."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError
from desktop.core.records import Record, read_record, write_record
from desktop.documents.backup import DATABASE

LABEL, LOCK = "library.json", ".lock"
_MOST_ALIKE = 100


class Label(Record):
    """Content of `library.json`."""

    version: int = 1
    name: str


@dataclass(frozen=True)
class Place:
    """A library by its name and its folder."""

    name: str
    folder: Path

    @property
    def size_bytes(self) -> int:
        """All of its files, backups included."""
        return sum(path.stat().st_size for path in self.folder.glob("*") if path.is_file())


def libraries_of(shelf: Path) -> list[Place]:
    """Every library below the folder, by name. One whose label is damaged goes by its folder."""
    places = [
        Place(_name_of(folder), folder) for folder in shelf.glob("[!.]*")
        if (folder / LABEL).exists() or (folder / DATABASE).exists()
    ]
    return sorted(places, key=lambda place: (place.name.casefold(), place.folder))


def find_library(shelf: Path, name: str = "") -> Place:
    """The library of that name or folder, or the only one. Raises UserError."""
    places = libraries_of(shelf)
    found = _named(places, name) if name else places[0] if len(places) == 1 else None
    if found is not None:
        return found
    listed = ", ".join(f'"{place.name}"' for place in places)
    if not places:
        raise UserError(
            "There is no library yet.", "", "Make one: tunedesk library add FOLDER --library NAME"
        )
    if not name:
        raise UserError(
            "There are several libraries.", f"They are {listed}.", "Name one with --library."
        )
    raise UserError(f'There is no library "{name}".', f"There are {listed}.", "Name one of them.")


def place_for(shelf: Path, name: str) -> Place:
    """The library of that name or folder, made if there is none.

    Raises UserError for an unusable name, and for one that several libraries have.
    """
    found = _named(libraries_of(shelf), name)
    if found is not None:
        return found
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise UserError(
            "This cannot be the name of a library.",
            "A name has 1 to 200 characters that can be printed.", "Choose another name.",
        )
    from filelock import FileLock  # only a new library needs it, and it loads asyncio

    shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(shelf / LOCK):
        # Another program may have made it since; looking and making must be one step.
        return _named(libraries_of(shelf), name) or _make(shelf, name)


def _named(places: Sequence[Place], name: str) -> Place | None:
    """The library of that name, or in that folder; of several that share a name, by its last part.

    Raises UserError if several have the name.
    """
    found = [place for place in places if place.name == name]
    if not found:
        names = Counter(place.name for place in places)
        found = [
            place for place in places
            if str(place.folder) == name or (place.folder.name == name and names[place.name] > 1)
        ]
    if len(found) > 1:
        folders = ", ".join(str(place.folder) for place in found)
        raise UserError(
            f'There are {len(found)} libraries "{name}".', f"They are in {folders}.",
            f'Name one by its folder: --library "{found[0].folder}".',
        )
    return found[0] if found else None


def _make(shelf: Path, name: str) -> Place:
    from desktop.jobs.folder import slug

    stem = slug(name)
    for attempt in range(1, _MOST_ALIKE):
        folder = shelf / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        write_record(folder / LABEL, Label(name=name))
        return Place(name, folder)
    raise UserError("No folder could be made for the library.", f"{shelf} holds too many.", "")


def _name_of(folder: Path) -> str:
    try:
        return read_record(folder / LABEL, Label).name
    except UserError:
        return folder.name
