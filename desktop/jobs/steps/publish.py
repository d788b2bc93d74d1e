"""Step "publish": the finished file becomes a model under its unproven name."""

import json

from converters.events import Note, Progress, Stage
from desktop.core.records import read_record, write_record
from desktop.jobs.prepared import NO_LIMIT, context_length
from desktop.jobs.steps.prepare_text import READING, ReadingFile
from desktop.jobs.work import Work
from desktop.ollama_api.inherit import Inheritance, from_json
from desktop.serving.protocol import NewModel, StoredModel

PUBLISH, PUBLISHED = "publish.json", "published.json"


def inheritance_of_job(work: Work) -> Inheritance:
    """What the base gave at the start of the job (`publish.json`), and the end of turn that was
    trained as a stop text (`reading.json`)."""
    inherited = from_json(json.loads(work.folder.artefact(PUBLISH).read_bytes()))
    reading = read_record(work.folder.artefact(READING), ReadingFile)
    return inherited.with_stop(reading.end_of_turn)


def publish_step(work: Work, inheritance: Inheritance, sha256: str) -> StoredModel:
    """Create the model under its unproven name and write `published.json`."""
    work.report(Stage("publish"))
    length = context_length(work.base)
    model = NewModel(
        gguf=work.folder.gguf, sha256=sha256, name=work.job.tune.name,
        inheritance=inheritance, context_length=0 if length == NO_LIMIT else length,
        is_proven=False,
    )

    def on_bytes(_what: str, done: int, total: int) -> None:
        work.report(Progress(step=done, steps=total))

    stored = work.wait(work.serving.create(model, on_bytes, work.should_stop))
    for text in stored.notes:
        work.report(Note("warning", text))
    write_record(work.folder.artefact(PUBLISHED), stored)
    return stored
