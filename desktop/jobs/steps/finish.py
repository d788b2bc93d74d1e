"""Step "score the result": scores after, drift, the result that `tune` prints, the manifest."""

import json
import time
from collections.abc import Mapping

import resources
from converters.durable_files import write_json
from converters.events import Stage
from converters.gguf.header import read_header
from desktop.core.records import read_record
from desktop.engine.child import EngineChild
from desktop.jobs.scoring import drift, exact_share, nats_a_token
from desktop.jobs.steps.export import EXPORT
from desktop.jobs.steps.gate import Gate
from desktop.jobs.steps.prepare_text import READING, ReadingFile, token_rows_of
from desktop.jobs.steps.result import (
    RESULT,
    SCORES,
    Bytes,
    Drift,
    Loss,
    Score,
    Scores,
    TuneResult,
    write_manifest,
)
from desktop.jobs.steps.score_base import BASE_SCORE, BaseScore, room_for, two_children
from desktop.jobs.steps.train import TRAIN, TrainFigures
from desktop.jobs.steps.written import WrittenScore, write_answers
from desktop.jobs.work import Work
from desktop.ollama_api.names import unproven_name
from desktop.proof.report import ProofReport


def finish_step(
    work: Work, gate: Gate, proof: ProofReport, earlier_seconds: Mapping[str, float]
) -> None:
    """Write `scores.json`, `result.json` and, last, `manifest.json`.

    earlier_seconds: wall time of the finished steps, also of those that an earlier run did.
    """
    work.report(Stage("score the result"))
    reading = read_record(work.folder.artefact(READING), ReadingFile)
    texts = general_texts()
    room = room_for(token_rows_of(work, "held_out"), more=1024)
    started = time.monotonic()
    with (
        two_children(work, work.folder.gguf, room) as tuned,
        EngineChild(work.job.base.path, n_ctx=room, log=work.engine_log) as base,
    ):
        written = write_answers(work, tuned, reading)
        ids = tuned[0].tokenize(texts)
        kl = drift(ids, tuned[0].log_probs_async, base.log_probs_async, work.should_stop)
    base_score = read_record(work.folder.artefact(BASE_SCORE), BaseScore)
    scores = _scores(gate, base_score, written)
    write_json(work.folder.artefact(SCORES), scores.model_dump(mode="json"))
    took = round(time.monotonic() - started, 2)
    seconds = {**earlier_seconds, **work.seconds, "score the result": took}
    result = _result(work, scores, Drift(kl=kl, texts=len(texts)), proof, seconds)
    write_json(work.folder.artefact(RESULT), result.model_dump(mode="json"))
    write_manifest(work.folder)


def general_texts() -> list[str]:
    """The ordinary texts on which drift is measured, in the order of their names."""
    folder = resources.path("general_texts")
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]


def _scores(gate: Gate, base: BaseScore, written: WrittenScore | None) -> Scores:
    before = [row.base for row in gate.rows]
    after = [row.exported for row in gate.rows]
    is_text = gate.task == "text"
    figure = nats_a_token if is_text else exact_share
    return Scores(
        score=Score(
            metric={"text": "loss", "labels": "accuracy"}.get(gate.task, "exact"),
            before=figure(before), after=figure(after),
            few_shot=None if is_text else base.few_shot, rows=len(after),
        ),
        loss_before=nats_a_token(before), loss_after=nats_a_token(after),
        written_before=base.written, written_after=written,
    )


def _result(
    work: Work, scores: Scores, changed: Drift, proof: ProofReport, seconds: dict[str, float]
) -> TuneResult:
    train = read_record(work.folder.artefact(TRAIN), TrainFigures)
    exported = json.loads(work.folder.artefact(EXPORT).read_bytes())
    name = work.job.tune.name
    return TuneResult(
        job=work.folder.id, model=unproven_name(name) if proof.failed else name,
        gguf=str(work.folder.gguf), adapter=str(work.folder.adapter), steps=train.steps,
        loss=Loss(
            first=train.first_loss, last=train.last_loss, held_out_before=scores.loss_before,
            held_out_after=scores.loss_after,
        ),
        score=scores.score, drift=changed, proof=proof,
        bytes=Bytes(base=read_header(work.job.base.path).file_bytes, model=exported["bytes"]),
        seconds=seconds,
    )

