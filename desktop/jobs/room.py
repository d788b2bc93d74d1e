"""Memory and disk as they are on this machine, against what a run needs (FAULTS F6, F31)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.errors import UserError
from desktop.core import hardware
from desktop.serving.protocol import ImportRoom, Resident
from finetune.plan_activations import Compute
from finetune.plan_memory import Term

SPARE_BYTES = 200_000_000
IMPORT_TERM = "the model in the server's own store"


@dataclass(frozen=True)
class MemoryRoom:
    """Where the run computes and how much is free for it. kind: in words. why_no_card: for the
    person, "" with a card. unloaded: what Ollama holds of the base, which the run unloads first
    and which `available_bytes` includes. others: what other models hold there."""

    compute: Compute
    kind: str
    available_bytes: int
    why_no_card: str
    unloaded: int
    others: tuple[Resident, ...]


@dataclass(frozen=True)
class DiskPlace:
    """One file system: a folder on it, what is free, and what the run puts there."""

    folder: Path
    free_bytes: int
    terms: tuple[Term, ...]

    @property
    def needed_bytes(self) -> int:
        """All terms, and a little for everything else on the machine."""
        return sum(term.bytes for term in self.terms) + SPARE_BYTES

    @property
    def fits(self) -> bool:
        """Whether the free space suffices."""
        return self.needed_bytes <= self.free_bytes


def memory_room(residents: Sequence[Resident], base: str) -> MemoryRoom:
    """The memory for a run on the model `base`, once its server has unloaded it."""
    probe = hardware.probe_cards()
    has_card = bool(probe.cards)
    held = {
        model: model.card_bytes if has_card else model.n_bytes - model.card_bytes
        for model in residents
    }
    of_base = sum(n for model, n in held.items() if _is_model(model.name, base))
    others = tuple(
        model for model, n_bytes in held.items() if n_bytes and not _is_model(model.name, base)
    )
    if has_card:
        free = max(card.free_bytes for card in probe.cards)
        return MemoryRoom(
            Compute("cuda", 2), "graphics memory", free + of_base, "", of_base, others
        )
    compute = Compute("cpu", 2 if hardware.has_fast_bf16() else 4)
    free = hardware.memory().available_bytes
    return MemoryRoom(compute, "memory", free + of_base, probe.reason, of_base, others)


def when_alone(room: MemoryRoom) -> MemoryRoom:
    """The same once nothing else runs: what a job that waits for another one may count on."""
    cards = hardware.probe_cards().cards
    if room.compute.device == "cuda" and cards:
        return replace(room, available_bytes=max(card.total_bytes for card in cards))
    return replace(room, available_bytes=hardware.memory().total_bytes)


def disk_places(
    home: Path, terms: Sequence[Term], model_bytes: int, taken_in: ImportRoom
) -> list[DiskPlace]:
    """What is needed on each file system; the server's store counts where it is on this machine."""
    own = DiskPlace(home, hardware.free_disk_bytes(home), tuple(terms))
    copied = Term(IMPORT_TERM, taken_in.copies * model_bytes)
    if taken_in.folder is None or not copied.bytes:
        return [own]
    store = existing(taken_in.folder)
    if store.stat().st_dev == existing(home).stat().st_dev:
        return [DiskPlace(home, own.free_bytes, (*own.terms, copied))]
    return [own, DiskPlace(store, hardware.free_disk_bytes(store), (copied,))]


def require_disk(places: Sequence[DiskPlace]) -> None:
    """Raise UserError, with needed and free of each file system, if one of them is too small."""
    short = [place for place in places if not place.fits]
    if not short:
        return
    parts = " ".join(
        f"{size(place.needed_bytes)} are needed in {place.folder}, {size(place.free_bytes)} are "
        f"free ({', '.join(f'{term.name} {size(term.bytes)}' for term in place.terms)})."
        for place in short
    )
    raise UserError(
        "There is not enough disk space for the run.", f"{parts} Nothing was started.",
        "Free some space, or choose another folder with --home.",
    )


def existing(folder: Path) -> Path:
    """The folder, or its nearest parent that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def size(n_bytes: int) -> str:
    """Bytes for a person."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _is_model(name: str, base: str) -> bool:
    return name in (base, f"{base}:latest")
