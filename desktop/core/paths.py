"""Where everything lies that the program writes. Folders carry ids of ours, never user names."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError

OTHER_HOME = "Choose another folder with --home or TUNEDESK_HOME."


@dataclass(frozen=True)
class Home:
    """The one folder that holds all of the program's files."""

    root: Path

    @property
    def obstacle(self) -> str:
        """Why nothing can be saved there, as a sentence; empty if it can. Asked anew each time."""
        if not self.root.exists():
            return f"{self.root} is not there and cannot be made."
        if not self.root.is_dir():
            return f"{self.root} is no folder."
        if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
            return f"{self.root} is read-only, or not yours to write."
        return ""

    @property
    def is_writable(self) -> bool:
        """Whether anything can be saved there."""
        return not self.obstacle

    def require_writable(self) -> None:
        """Raise UserError if nothing can be saved there: for whatever makes a job or a model."""
        if obstacle := self.obstacle:
            raise UserError("Nothing can be saved.", f"{obstacle} Nothing was changed.", OTHER_HOME)

    @property
    def jobs(self) -> Path:
        """Run folders, one a job."""
        return self.root / "jobs"

    @property
    def libraries(self) -> Path:
        """Libraries of documents, one folder each."""
        return self.root / "libraries"

    @property
    def models(self) -> Path:
        """Models of the built-in engine."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """What can be made again."""
        return self.root / "cache"

    @property
    def logs(self) -> Path:
        """Logs of the program."""
        return self.root / "logs"


def resolve_home(option: Path | None = None) -> Home:
    """The home of `--home`, else TUNEDESK_HOME, else the platform's data folder; created 0700.

    One that cannot be made or written is returned too: whoever only reads gets by with it, the
    others call `require_writable`.
    """
    root = option or _from_environment() or _platform_folder()
    with suppress(OSError):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Home(root.resolve())


def _from_environment() -> Path | None:
    value = os.environ.get("TUNEDESK_HOME")
    return Path(value) if value else None


def _platform_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("tunedesk", appauthor=False)
