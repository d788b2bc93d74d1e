"""Everything that can be known about a run before it starts: memory, disk, time, size, levers.

`tunedesk plan` shows it and `prepare_tune` refuses by it, so that both say the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError
from converters.gguf.header import Header, read_header
from desktop.core.paths import Home
from desktop.jobs.rates import Estimate, Wanted, estimate, weights_of
from desktop.jobs.room import DiskPlace, MemoryRoom, disk_places, existing, memory_room, size
from desktop.jobs.spec import BaseFile
from desktop.serving.protocol import Serving
from desktop.serving.trainable import reason_against
from finetune.data.packing import steps_of_epoch
from finetune.data.segments import TokenRow
from finetune.plan import TunePlan, plan_for
from finetune.plan_disk import disk_terms, model_bytes, model_bytes_by_type
from finetune.plan_levers import Lever, Situation, by_weight, levers
from finetune.plan_memory import Term
from finetune.spec import TuneSpec, resolve

Rows = Sequence[TokenRow]


@dataclass(frozen=True)
class Outlook:
    """What a run needs and what there is. steps, tokens: of all epochs, None without rows."""

    plan: TunePlan
    room: MemoryRoom
    levers: tuple[Lever, ...]
    places: tuple[DiskPlace, ...]
    import_why: str
    base_bytes: int
    usual_bytes: int
    largest_bytes: int
    bytes_by_type: dict[str, int]
    time: Estimate
    steps: int | None
    tokens: int | None

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.plan.total_bytes <= self.room.available_bytes

    @property
    def disk_terms(self) -> tuple[Term, ...]:
        """What the run puts on every disk."""
        return tuple(term for place in self.places for term in place.terms)


async def outlook(
    home: Home, serving: Serving, tune: TuneSpec, base: BaseFile, rows: Rows | None
) -> Outlook:
    """Plan a run on its training rows; on rows of the greatest length where they are not read."""
    header = read_header(base.path)
    room = memory_room(await serving.resident(), tune.model)
    plan = plan_for(header, tune, room.compute, rows)
    usual, largest = model_bytes(header, tune)
    taken_in = await serving.import_room(existing(home.jobs))
    terms = disk_terms(header, tune, _data_bytes(tune))
    steps, tokens = _steps(header, tune, base, rows)
    wanted = Wanted(
        base.sha256, tune.base, tune.rank, weights_of(header), tokens, tune.max_seconds
    )
    helping: list[Lever] = []
    if plan.total_bytes > room.available_bytes:
        situation = Situation(header, tune, room.compute, rows, room.available_bytes)
        helping = [
            *levers(situation), *_unloading(plan, room),
            *await _smaller_models(serving, tune, rows, plan, room),
        ]  # fmt: skip
    return Outlook(
        plan=plan, room=room, levers=tuple(by_weight(helping)),
        places=tuple(disk_places(home.root, terms, largest, taken_in)),
        import_why=taken_in.why, base_bytes=base.n_bytes, usual_bytes=usual,
        largest_bytes=largest, bytes_by_type=model_bytes_by_type(header),
        time=estimate(home.jobs, wanted, room.compute), steps=steps, tokens=tokens,
    )


def _steps(
    header: Header, tune: TuneSpec, base: BaseFile, rows: Rows | None
) -> tuple[int | None, int | None]:
    """Steps and tokens of all epochs, as the training counts them."""
    if not rows:
        return None, None
    tokens = sum(len(row.ids) for row in rows)
    spec = resolve(
        tune, base.path, parameters=weights_of(header), rows=len(rows), epoch_tokens=tokens
    )
    an_epoch = len(steps_of_epoch(rows, spec.tokens_per_pass, spec.tokens_per_step, spec.seed))
    return max(1, round(spec.epochs * an_epoch)), round(spec.epochs * tokens)


def _data_bytes(tune: TuneSpec) -> int:
    return sum(path.stat().st_size for path in (tune.data, tune.held_out) if path and path.exists())


def _unloading(plan: TunePlan, room: MemoryRoom) -> list[Lever]:
    """Other models in memory: the run leaves them alone, the person may not want to."""
    found = []
    for model in room.others:
        held = model.card_bytes if room.compute.device == "cuda" else (
            model.n_bytes - model.card_bytes
        )
        total = plan.total_bytes - held
        text = f"Take {model.name} out of memory, {size(held)} (ollama stop {model.name})"
        found.append(Lever(text, total, total <= room.available_bytes, held))
    return found


async def _smaller_models(
    serving: Serving, tune: TuneSpec, rows: Rows | None, plan: TunePlan, room: MemoryRoom
) -> list[Lever]:
    """The largest of the models that are there, can be tuned and fit."""
    best: Lever | None = None
    for model in await serving.held():
        total = _planned(model.path, tune, rows, room) if model.path else None
        if total is None or total > room.available_bytes or (best and total <= best.total_bytes):
            continue
        text = f"Tune the smaller model {model.name} (--model {model.name})"
        best = Lever(text, total, True, 0)  # a last resort, whatever it saves
    return [best] if best and best.total_bytes < plan.total_bytes else []


def _planned(path: Path, tune: TuneSpec, rows: Rows | None, room: MemoryRoom) -> int | None:
    try:
        header = read_header(path)
    except UserError:
        return None  # a damaged model is no advice
    if reason_against(header):
        return None
    return plan_for(header, tune, room.compute, rows).total_bytes
