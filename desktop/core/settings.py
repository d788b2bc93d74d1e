"""What a person decided once, in `<home>/settings.json`: to which machines documents may go.

Missing means that nothing was decided yet. A damaged file is set aside, named, and asked anew: no
consent is ever guessed.
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from converters.durable_files import write_json
from converters.errors import UserError
from desktop.core.paths import Home
from desktop.core.records import Record

FILE, ASIDE = "settings.json", "settings-damaged.json"


class Settings(Record):
    """document_hosts: machines that documents may be sent to, as `destinations` names them."""

    version: Literal[1] = 1
    document_hosts: tuple[str, ...] = ()


def read_settings(home: Home) -> tuple[Settings, str]:
    """The settings, and a sentence on what was repaired ("" for nothing).

    Raises UserError if they are of a newer version, or cannot be read.
    """
    path = home.root / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Settings(), ""
    try:
        return Settings.model_validate_json(text), ""
    except ValidationError as error:
        if b'"version"' in text and any(one["loc"] == ("version",) for one in error.errors()):
            raise UserError(
                "The settings were made by a newer version of the program.",
                f"{path} was not changed.", "Update the program.",
            ) from error
    return Settings(), _set_aside(path)


def write_settings(home: Home, settings: Settings) -> None:
    """Keep them, durably. Raises UserError if the home cannot be written."""
    home.require_writable()
    write_json(home.root / FILE, settings.model_dump(mode="json"))


def _set_aside(path: Path) -> str:
    aside = path.with_name(ASIDE)
    try:
        path.replace(aside)
    except OSError:
        return f"{path} is damaged and cannot be moved; its settings do not count."
    return f"{path} was damaged. It was kept as {aside}, and what was decided is asked again."
