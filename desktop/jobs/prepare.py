"""Before a job starts: everything that can be refused is refused now, and its folder is made.

No torch here: a mistyped name or a full disk is answered at once.
"""

from dataclasses import dataclass, replace

from converters.durable_files import write_json
from converters.events import Note
from converters.gguf.header import read_header
from desktop.core.held_lock import is_held
from desktop.core.paths import Home
from desktop.core.records import write_record
from desktop.jobs.data_hash import note_data
from desktop.jobs.folder import JobFolder, create_job
from desktop.jobs.outlook import Outlook, outlook
from desktop.jobs.outlook_text import memory_text, require_memory, size_text
from desktop.jobs.reading import read_as_trained
from desktop.jobs.room import require_disk, size, when_alone
from desktop.jobs.slot import SLOT
from desktop.jobs.spec import BaseFile, TuneJob
from desktop.jobs.steps.publish import PUBLISH
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.templates import CHATML, CHATML_STOP
from desktop.serving.choice import Chosen
from desktop.serving.protocol import Serving
from desktop.serving.trainable import require_trainable_file
from finetune.data.rows import read_rows, require_accepted
from finetune.spec import TuneSpec


@dataclass(frozen=True)
class Prepared:
    """A job that can start, and what the person should know before it does."""

    folder: JobFolder
    notes: list[Note]


async def prepare_tune(home: Home, chosen: Chosen, tune: TuneSpec, examples: int) -> Prepared:
    """Check the model, the name, the data, memory and disk; make the job's folder.

    Raises UserError for the first thing that stands in the way; nothing is left behind then. While
    another job computes, the memory that it holds is no reason to refuse: this one waits for it,
    and is looked at again when its turn comes.
    """
    home.require_writable()
    serving = chosen.serving
    base = await serving.base_file(tune.model)
    header = read_header(base.path)
    require_trainable_file(tune.model, base.path, header)
    await serving.require_free_name(tune.name, replace=tune.replace)
    _require_data(tune)
    inheritance = await serving.inherit(tune.model)
    notes = [Note("info", chosen.why), *_template_notes(inheritance)]
    found = await _outlook(home, serving, tune, base)
    require_memory(_when_its_turn_comes(found) if is_held(home.jobs / SLOT) else found)
    require_disk(found.places)
    notes += _notes(found)
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


async def _outlook(home: Home, serving: Serving, tune: TuneSpec, base: BaseFile) -> Outlook:
    """For rows of the greatest length, which is at hand; where that does not fit, for the rows
    themselves, which have to be rendered and counted for it."""
    found = await outlook(home, serving, tune, base, rows=None)
    if found.fits:
        return found
    header = read_header(base.path)
    _, text = await read_as_trained(serving, tune, base, header, lambda _: None)
    return await outlook(home, serving, tune, base, text.train.rows)


def _when_its_turn_comes(found: Outlook) -> Outlook:
    return replace(found, room=when_alone(found.room))


def _notes(found: Outlook) -> list[Note]:
    notes = [memory_text(found), size_text(found), _disk_text(found)]
    if found.room.why_no_card:
        notes.insert(0, f"{found.room.why_no_card} The run uses the processor.")
    return [Note("info", text) for text in notes]


def _disk_text(found: Outlook) -> str:
    places = " ".join(
        f"At most {size(place.needed_bytes)} of disk are needed in {place.folder}, "
        f"{size(place.free_bytes)} are free." for place in found.places
    )
    return f"{places} About the disk: {found.import_why}."


def _absolute(tune: TuneSpec) -> TuneSpec:
    """The worker has another working folder in mind than the person: paths are made absolute."""
    held_out = tune.held_out.resolve() if tune.held_out else None
    return tune.model_copy(update={"data": tune.data.resolve(), "held_out": held_out})
