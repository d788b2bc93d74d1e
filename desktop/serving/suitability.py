"""Whether a model that is held can be tuned here, and what that takes."""

from dataclasses import dataclass

from converters.errors import UserError
from converters.gguf.header import Header, read_header
from desktop.jobs.room import MemoryRoom
from desktop.serving.protocol import HeldModel
from desktop.serving.trainable import reason_against

ROW_TOKENS = 1024


@dataclass(frozen=True)
class Suitability:
    """reason: why it cannot be tuned, "" if it can. needed_bytes: of memory with the defaults at
    ROW_TOKENS a row; None, and fits None, where that is unknown."""

    reason: str
    needed_bytes: int | None = None
    fits: bool | None = None

    @property
    def in_words(self) -> str:
        """For a person, without a full stop."""
        if self.reason:
            return f"cannot be tuned: {self.reason}"
        if self.needed_bytes is None:
            return "can be tuned"
        needed = f"{self.needed_bytes / 1e9:.1f} GB"
        return f"can be tuned, fits ({needed})" if self.fits else f"can be tuned, needs {needed}"


def suitability(model: HeldModel, room: MemoryRoom) -> Suitability:
    """Look at a model's file, where it can be read."""
    if model.path is None:
        return Suitability(model.reason)
    try:
        header = read_header(model.path)
    except UserError as error:
        return Suitability(f"{error.title} {error.detail}")
    if reason := reason_against(header):
        return Suitability(reason)
    needed = _needed_bytes(header, room)
    return Suitability("", needed, needed <= room.available_bytes)


def _needed_bytes(header: Header, room: MemoryRoom) -> int:
    from finetune.plan import default_memory_bytes

    return default_memory_bytes(header, ROW_TOKENS, room.compute)
