"""The libraries of a home: folders with ids of ours, found by the name that a person gave."""

from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError
from desktop.core.records import Record, read_record, write_record
from desktop.documents.backup import DATABASE

LABEL = "library.json"
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
        Place(_name_of(folder), folder) for folder in shelf.glob("*")
        if (folder / LABEL).exists() or (folder / DATABASE).exists()
    ]
    return sorted(places, key=lambda place: (place.name.casefold(), place.folder))


def find_library(shelf: Path, name: str = "") -> Place:
    """The library of that name, or the only one. Raises UserError."""
    places = libraries_of(shelf)
    found = [place for place in places if not name or place.name == name]
    if len(found) == 1:
        return found[0]
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
    """The library of that name, made if there is none. Raises UserError for an unusable name."""
    from desktop.jobs.folder import slug

    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise UserError(
            "This cannot be the name of a library.",
            "A name has 1 to 200 characters that can be printed.", "Choose another name.",
        )
    for place in libraries_of(shelf):
        if place.name == name:
            return place
    stem = slug(name)
    for attempt in range(1, _MOST_ALIKE):
        folder = shelf / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(mode=0o700, parents=True)
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
