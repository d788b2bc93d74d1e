"""What a server of a given version does: three classes of behaviour (FACTS 3.2)."""

import re
from dataclasses import dataclass
from typing import Literal

from desktop.ollama_api.errors import OllamaError

BehaviourClass = Literal["24", "33", "34"]
"""24: engines in the process (< 0.30). 33: GGUF rewritten on import (0.30.0 to 0.34.0).
34: the file stored as it comes (>= 0.34.1)."""

OLDEST = (0, 17, 1)
CHILD_ENGINE = (0, 30, 0)
NO_REWRITE = (0, 34, 1)


class VersionTooOld(OllamaError):
    """The server is older than what a step needs."""

    def __init__(self, version: str, missing: str, needed: tuple[int, ...]) -> None:
        wanted = ".".join(map(str, needed))
        super().__init__(
            f"Ollama {version} is too old.",
            f"{missing} Version {wanted} and later can do it.",
            f"Update Ollama to {wanted} or later and try again.",
        )


@dataclass(frozen=True)
class Behaviour:
    """The class of a server. note: a sentence for the person when the version is a guess."""

    version: str
    kind: BehaviourClass
    note: str = ""

    @property
    def default_repeat_penalty(self) -> float:
        """What the server uses when neither model nor request says anything."""
        return 1.1 if self.kind == "24" else 1.0


def behaviour(version: str) -> Behaviour:
    """The behaviour class for the text of /api/version.

    "0.0.0" (built without a version) and unreadable texts count as the newest class and say so in
    `note`; newer versions than we know are of the newest class. Raises `VersionTooOld` below
    0.17.1.
    """
    numbers = _numbers(version)
    if numbers is None or numbers == (0, 0, 0):
        note = f"Ollama reports the version {version!r}; it is treated like 0.34.1 or later."
        return Behaviour(version, "34", note)
    if numbers < OLDEST:
        raise VersionTooOld(version, "Tunedesk cannot talk to it.", OLDEST)
    if numbers < CHILD_ENGINE:
        return Behaviour(version, "24")
    return Behaviour(version, "33" if numbers < NO_REWRITE else "34")


def require_import(server: Behaviour) -> None:
    """Raise `VersionTooOld` unless the server stores a finished GGUF as it comes."""
    if server.kind != "34":
        missing = "It rewrites or refuses finished model files, so a tuned model cannot be put in."
        raise VersionTooOld(server.version, missing, NO_REWRITE)


def _numbers(version: str) -> tuple[int, int, int] | None:
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+].*)?$", version.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
