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
READS_JINJA = ".".join(map(str, CHILD_ENGINE))

_DROPPED: dict[BehaviourClass, frozenset[str]] = {
    "24": frozenset(), "33": frozenset(), "34": frozenset({"typical_p"})
}  # fmt: skip
_GONE = frozenset(
    {"penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock",
     "mirostat", "mirostat_tau", "mirostat_eta", "tfs_z"}
)  # fmt: skip


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
    def rewrites_imports(self) -> bool:
        """It copies an imported GGUF through llama-quantize; only a canonical one keeps its
        digest (FACTS 1.1)."""
        return self.kind == "33"

    @property
    def import_copies(self) -> int:
        """How many times the file's size its store needs free while a file is uploaded and made
        a model: the upload, and for a rewrite its result and the copy of that. A hard link saves
        the first one."""
        return 3 if self.rewrites_imports else 1

    @property
    def reads_jinja(self) -> bool:
        """It renders by the GGUF's own Jinja where the model has no Go template."""
        return self.kind != "24"

    @property
    def dropped_parameters(self) -> frozenset[str]:
        """Parameters of a model that it refuses, or that it and all others ignore."""
        return _GONE | _DROPPED[self.kind]

    @property
    def advice(self) -> str:
        """What is worse here than with the newest class, one sentence; "" if nothing."""
        if self.rewrites_imports:
            return (
                f"Ollama {self.version} writes a model file anew while it imports it: that takes "
                "longer and needs three times the file's size. 0.34.1 and later do not."
            )
        if not self.reads_jinja:
            return (
                f"Ollama {self.version} does not use the chat templates inside model files; "
                f"{READS_JINJA} and later do."
            )
        return ""


NEWEST = Behaviour("", "34")


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


def _numbers(version: str) -> tuple[int, int, int] | None:
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+].*)?$", version.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
