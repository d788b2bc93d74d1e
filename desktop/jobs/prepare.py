"""Before a job starts: everything that can be refused is refused now, and its folder is made.

No torch here: a mistyped name or a full disk is answered at once.
"""

from dataclasses import dataclass
from pathlib import Path

from converters.durable_files import write_json
from converters.errors import UserError
from converters.events import Note
from converters.export import estimated_size
from converters.gguf.header import Header, read_header
from desktop.core import hardware
from desktop.core.paths import Home
from desktop.core.records import write_record
from desktop.jobs.data_hash import note_data
from desktop.jobs.folder import JobFolder, create_job
from desktop.jobs.spec import TuneJob
from desktop.jobs.steps.publish import PUBLISH
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.templates import CHATML, CHATML_STOP
from desktop.serving.choice import Chosen
from desktop.serving.trainable import require_trainable_file
from finetune.data.rows import read_rows, require_accepted
from finetune.plan import TunePlan, plan_for, touched_names
from finetune.spec import TuneSpec

SPARE_BYTES = 200_000_000


@dataclass(frozen=True)
class Prepared:
    """A job that can start, and what the person should know before it does."""

    folder: JobFolder
    notes: list[Note]


async def prepare_tune(home: Home, chosen: Chosen, tune: TuneSpec, examples: int) -> Prepared:
    """Check the model, the name, the data, memory and disk; make the job's folder.

    Raises UserError for the first thing that stands in the way; nothing is left behind then.
    """
    serving = chosen.serving
    base = await serving.base_file(tune.model)
    header = read_header(base.path)
    require_trainable_file(tune.model, base.path, header)
    await serving.require_free_name(tune.name, replace=tune.replace)
    _require_data(tune)
    inheritance = await serving.inherit(tune.model)
    notes = [Note("info", chosen.why), *_template_notes(inheritance)]
    plan = plan_for(header, tune)
    usual, largest = _model_bytes(header, tune)
    notes += _memory_notes(plan) + [_size_note(base.n_bytes, usual, largest)]
    _require_disk(home.root, largest, header)
    job = TuneJob(
        tune=_absolute(tune), engine=serving.engine, host=serving.host, version=serving.version,
        home=home.root, base=base, examples=examples,
    )
    folder = create_job(home.jobs, tune.name, job)
    note_data(folder, job.tune)
    write_record(folder.artefact("base.json"), base)
    write_json(folder.artefact(PUBLISH), _published(inheritance).as_json())
    return Prepared(folder, notes)


def _published(inheritance: Inheritance) -> Inheritance:
    """What the tuned model is created with: the base's, and ChatML where the base has nothing."""
    if inheritance.kind != "none":
        return inheritance
    return inheritance.with_template(CHATML).with_stop(CHATML_STOP)


def _template_notes(inheritance: Inheritance) -> list[Note]:
    if inheritance.kind != "none":
        return []
    return [Note("warning", "The base has no chat template: ChatML is trained and written.")]


def _require_data(tune: TuneSpec) -> None:
    for path in (tune.data, tune.held_out):
        if path is not None:
            require_accepted(path, read_rows(path, tune.column_map()))


def _memory_notes(plan: TunePlan) -> list[Note]:
    cards = hardware.graphics_cards()
    memory = hardware.memory()
    available = max((card.free_bytes for card in cards), default=memory.available_bytes)
    terms = ", ".join(f"{term.name} {_size(term.bytes)}" for term in plan.terms)
    kind = "graphics memory" if cards else "memory"
    text = f"About {_size(plan.total_bytes)} of {kind} are needed, {_size(available)} are free " \
           f"({terms})."
    if plan.total_bytes > available:
        raise UserError(
            f"The run does not fit the {kind}.", text,
            "Shorten the rows with --max-tokens, lower --rank, or choose a smaller model.",
        )
    return [Note("info", text)]


def _size_note(base: int, usual: int, largest: int) -> Note:
    text = f"The finished model will take about {_size(usual)} ({usual / base - 1:+.0%})"
    if largest > usual:
        text += f", at most {_size(largest)} if the change turns out very small"
    return Note("info", (
        f"{text}; the base takes {_size(base)}. A small change cannot be written back into the "
        "base's own number format."
    ))


def _model_bytes(header: Header, tune: TuneSpec) -> tuple[int, int]:
    """The usual and the largest size of the finished file."""
    names = touched_names(header)
    usual = estimated_size(header, tune.export_type, names)
    largest = estimated_size(header, "F16", names) if tune.export_type == "auto" else usual
    return usual, max(usual, largest)


def _require_disk(root: Path, size: int, header: Header) -> None:
    """One finished file (Ollama takes it by hard link, or needs as much again in its own store),
    and for a while its F32 form, which the proofs compare."""
    expanded = sum(info.n_rows * info.row_length for info in header.tensors) * 4
    needed = size + (expanded if expanded < 2_000_000_000 else 0) + SPARE_BYTES
    free = hardware.free_disk_bytes(root)
    if free < needed:
        raise UserError(
            "There is not enough disk space for the run.",
            f"{_size(needed)} are needed in {root}, {_size(free)} are free.",
            "Free some space, or choose another folder with --home.",
        )


def _absolute(tune: TuneSpec) -> TuneSpec:
    """The worker has another working folder in mind than the person: paths are made absolute."""
    held_out = tune.held_out.resolve() if tune.held_out else None
    return tune.model_copy(update={"data": tune.data.resolve(), "held_out": held_out})


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
