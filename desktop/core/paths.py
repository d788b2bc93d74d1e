"""Where everything lies that the program writes. Folders carry ids of ours, never user names."""

import os
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError


@dataclass(frozen=True)
class Home:
    """The one folder that holds all of the program's files."""

    root: Path

    @property
    def jobs(self) -> Path:
        """Run folders, one a job."""
        return self.root / "jobs"

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

    Raises UserError if the folder cannot be made.
    """
    root = option or _from_environment() or _platform_folder()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "The program's folder cannot be made.",
            f"{root}: {error.strerror}.",
            "Choose another folder with --home or TUNEDESK_HOME.",
        ) from error
    return Home(root.resolve())


def _from_environment() -> Path | None:
    value = os.environ.get("TUNEDESK_HOME")
    return Path(value) if value else None


def _platform_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("tunedesk", appauthor=False)
