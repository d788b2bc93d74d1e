"""`tunedesk plan`: memory, time, disk and size of a run, in words, before anything is started."""

import asyncio
from collections.abc import Iterable
from typing import Any

from converters.gguf.header import read_header
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.commands.options import takes_spec
from desktop.core.counted import counted
from desktop.jobs.outlook import Outlook, outlook
from desktop.jobs.outlook_text import advice_of
from desktop.jobs.reading import read_as_trained
from desktop.jobs.room import size
from desktop.serving.choice import choose
from desktop.serving.trainable import require_trainable_file
from finetune.plan_memory import Term
from finetune.spec import TuneSpec


@takes_spec
def plan(context: Context, spec: TuneSpec) -> Output:
    """Say what a run will need, whether it fits, and what helps; nothing is started."""
    why, found = asyncio.run(_planned(context, spec))
    return Output(value_of(found), "\n".join([why, *lines_of(found)]))


async def _planned(context: Context, spec: TuneSpec) -> tuple[str, Outlook]:
    chosen = await choose(context.home, context.host, context.engine)
    serving = chosen.serving
    try:
        base = await serving.base_file(spec.model)
        header = read_header(base.path)
        require_trainable_file(spec.model, base.path, header)
        with LiveLine() as line:
            _, text = await read_as_trained(serving, spec, base, header, line.report)
        return chosen.why, await outlook(context.home, serving, spec, base, text.train.rows)
    finally:
        await serving.close()


def value_of(found: Outlook) -> dict[str, Any]:
    """The document of `plan --json` (DESIGN 7)."""
    return {
        "terms": [{"name": term.name, "bytes": term.bytes} for term in found.plan.terms],
        "total_bytes": found.plan.total_bytes,
        "available_bytes": found.room.available_bytes,
        "fits": found.fits and all(place.fits for place in found.places),
        "seconds": found.time.seconds,
        "disk_bytes": sum(place.needed_bytes for place in found.places),
        "model_bytes": found.usual_bytes,
        "advice": advice_of(found),
        "device": found.room.compute.device,
        "steps": found.steps,
        "tokens": found.tokens,
        "largest_model_bytes": found.largest_bytes,
        "model_bytes_by_type": {"qlora": found.bytes_by_type},
        "disk_terms": [{"name": term.name, "bytes": term.bytes} for term in found.disk_terms],
        "disks": [
            {"folder": str(place.folder), "needed_bytes": place.needed_bytes,
             "free_bytes": place.free_bytes, "fits": place.fits}
            for place in found.places
        ],
        "free_disk_bytes": min(place.free_bytes for place in found.places),
    }  # fmt: skip


def lines_of(found: Outlook) -> list[str]:
    """The same for a person."""
    room = found.room
    batch = found.plan.case.batch
    rows = counted(len(batch.lengths), "row")
    verdict = "it fits" if found.fits else "it does not fit"
    lines = [
        f"At most {batch.tokens:,} tokens go through the model at once ({rows}).",
        f"{room.kind.capitalize()}:", *_table(found.plan.terms),
        f"  {size(found.plan.total_bytes):>9}  in all; {size(room.available_bytes)} are free: "
        f"{verdict}",
    ]
    for place in found.places:
        lines += [f"Disk ({place.folder}):", *_table(place.terms),
                  f"  {size(place.needed_bytes):>9}  in all with a reserve; "
                  f"{size(place.free_bytes)} are free"]  # fmt: skip
    lines += [f"Time: {_duration(found)}", "Size of the finished model, by --export-type (qlora):"]
    lines += [f"  {size(n_bytes):>9}  {name}" for name, n_bytes in found.bytes_by_type.items()]
    return [*lines, *(f"Advice: {sentence}" for sentence in advice_of(found))]


def _table(terms: Iterable[Term]) -> list[str]:
    return [f"  {size(term.bytes):>9}  {term.name}" for term in terms]


def _duration(found: Outlook) -> str:
    steps = f"{found.steps:,} steps, {found.tokens:,} tokens; " if found.steps else ""
    seconds = found.time.seconds
    if seconds is None:
        return f"{steps}not known yet"
    minutes, hours = round(seconds / 60), seconds / 3600
    long = f"about {hours:.1f} hours" if hours >= 2 else f"about {max(1, minutes)} minutes"
    return f"{steps}{long}"
