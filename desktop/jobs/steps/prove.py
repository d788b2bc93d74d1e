"""Step "prove": the four proofs of DESIGN 5, made on the created model and the exported file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import resources
from converters.errors import Stopped
from converters.events import Progress, Stage
from converters.gguf.header import raw_field, read_header
from desktop.core.records import read_lines, read_record, write_record
from desktop.engine.child import EngineChild
from desktop.jobs.data import Reading
from desktop.jobs.render import HardRender, RenderedRow
from desktop.jobs.served import (
    COMPARED_TOKENS,
    compare_answer,
    ids_of_answer,
    index_of_pieces,
    wants_to_end,
)
from desktop.jobs.steps.gate import Gate
from desktop.jobs.steps.prepare_text import HARD, READING, ROWS, TOKENS, ReadingFile, TokenLine
from desktop.jobs.steps.score_base import room_for
from desktop.jobs.work import Work
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.replies import ChatAnswer
from desktop.proof.ids import CountPair, IdPair, judge_ids
from desktop.proof.logits import ServedRow
from desktop.proof.report import Proof, ProofReport, skipped
from desktop.proof.text import RenderedPair, Stopping, judge_text

PROOF = "proof.json"
TEXT_ROWS, CHATS, COUNTS, CHAT_TOKENS = 50, 20, 5, 64
VOCABULARY = "tokenizer.ggml."


@dataclass(frozen=True)
class Asked:
    """One greedy chat of the server: the row, its context's ids and the whole answer."""

    row: RenderedRow
    context: list[int]
    answer: ChatAnswer


@dataclass(frozen=True)
class Served:
    """What the server did: its chats, how they ended beside our file, scored answers."""

    asked: list[Asked]
    endings: list[Stopping]
    rows: list[ServedRow]


def prove_step(work: Work, gguf: Path, model: str, inheritance: Inheritance, gate: Gate) \
        -> ProofReport:
    """Make the proofs for `model`, whose file is `gguf`, and write `proof.json`."""
    work.report(Stage("prove"))
    reading = read_record(work.folder.artefact(READING), ReadingFile)
    rows = _distinct([
        row for row in read_lines(work.folder.artefact(ROWS), RenderedRow)
        if row.split == "held_out"
    ])
    has_server = work.serving.engine == "ollama"
    with EngineChild(gguf, n_ctx=room_for([], _longest(work) + CHAT_TOKENS), threads=2,
                     log=work.engine_log) as child:  # fmt: skip
        served = _served(work, child, model, rows[:CHATS], reading) if has_server else None
        report = ProofReport(
            text=_text(work, model, rows[:TEXT_ROWS], inheritance, reading, served),
            ids=_ids(work, child, gguf, reading, served),
            logits=gate.logits(served.rows if served else None),
            delta=gate.delta(),
        )
    write_record(work.folder.artefact(PROOF), report)
    return report


def _served(
    work: Work, child: EngineChild, model: str, rows: Sequence[RenderedRow], reading: ReadingFile
) -> Served:
    asked = []
    contexts = _contexts(child, [row.context for row in rows], reading)
    for at, (row, context) in enumerate(zip(rows, contexts, strict=True)):
        if work.should_stop():
            raise Stopped
        messages = row.messages[:-1]
        answer = work.wait(work.serving.answer(model, messages, CHAT_TOKENS))
        asked.append(Asked(row, context, answer))
        work.report(Progress(step=at + 1, steps=len(rows)))
    pieces = child.pieces()
    index = index_of_pieces(pieces)
    endings = [
        Stopping(
            server=item.answer.stop_reason,
            engine="stop" if wants_to_end(
                item.context, ids_of_answer(item.answer.logprobs, index), reading.end_tokens,
                child.log_probs,
            ) else "length",
        )
        for item in asked
    ]
    scored = [
        compare_answer(item.context, item.answer.logprobs, pieces, index, child.log_probs)
        for item in asked
    ]
    return Served(asked, endings, scored)


def _text(
    work: Work, model: str, rows: Sequence[RenderedRow], inheritance: Inheritance,
    reading: ReadingFile, served: Served | None,
) -> Proof:
    if served is None:
        return skipped("no server is running: the built-in engine renders by the file's own Jinja")
    hard = read_lines(work.folder.artefact(HARD), HardRender)
    stored = [(f"row {row.number}", row.messages[:-1], row.context) for row in rows]
    stored += [(one.name, one.messages, one.render) for one in hard]
    pairs = [
        RenderedPair(
            name=name, stored=text,
            created=work.render_or_refusal(model, messages),
        )
        for name, messages, text in stored
    ]
    stops = work.wait(work.serving.stops(model))
    return judge_text(
        pairs, reading.bos_text, stops, inheritance.stops, served.endings
    )


def _ids(
    work: Work, child: EngineChild, gguf: Path, reading: ReadingFile, served: Served | None
) -> Proof:
    counts = None if served is None else [
        CountPair(server=item.answer.prompt_tokens, ours=len(item.context))
        for item in served.asked[:COUNTS]
    ]
    pairs = [*_row_pairs(work, child, reading), *_hard_pairs(work, child)]
    return judge_ids(
        _vocabulary_keys(work.job.base.path), _vocabulary_keys(gguf), pairs, counts
    )


def _row_pairs(work: Work, child: EngineChild, reading: ReadingFile) -> list[IdPair]:
    """Held-out rows: the ids that were stored for training, and the file's ids of the same text."""
    lines = [
        line for line in read_lines(work.folder.artefact(TOKENS), TokenLine)
        if line.part == "held_out"
    ]
    trained: dict[tuple[str, int], TokenLine] = {}
    for line in lines:
        trained.setdefault((line.hash, line.number), line)
    reader = Reading(
        reading.bos, reading.end_of_turn,
        lambda texts, special: child.tokenize((text, special) for text in texts),
    )
    rows = _distinct([
        row for row in read_lines(work.folder.artefact(ROWS), RenderedRow)
        if row.split == "held_out" and (row.hash, row.number) in trained
    ])
    pairs = []
    for row in rows:
        segments = row.segment_row().segments
        exported = [
            token for segment in segments
            for token in (reader.answer if segment.learnt else reader.context)([segment.text])[0]
        ]
        ids = trained[row.hash, row.number].ids
        pairs.append(IdPair(
            name=f"row {row.number}", trained=ids, exported=tuple(exported[: len(ids)])
        ))
    return pairs


def _hard_pairs(work: Work, child: EngineChild) -> list[IdPair]:
    strings = json.loads(resources.path("hard_strings.json").read_text(encoding="utf-8"))
    with EngineChild(work.job.base.path, vocab_only=True, log=work.engine_log) as base:
        trained, exported = base.tokenize(strings), child.tokenize(strings)
    return [
        IdPair(name=f"hard string {at + 1}", trained=tuple(ours), exported=tuple(theirs))
        for at, (ours, theirs) in enumerate(zip(trained, exported, strict=True))
    ]


def _vocabulary_keys(path: Path) -> dict[str, bytes]:
    header = read_header(path)
    return {
        key: raw_field(header, key) for key in header.metadata if key.startswith(VOCABULARY)
    }


def _contexts(
    child: EngineChild, texts: Sequence[str], reading: ReadingFile
) -> list[list[int]]:
    reader = Reading(
        reading.bos, reading.end_of_turn,
        lambda items, special: child.tokenize((item, special) for item in items),
    )
    return reader.context(texts)


def _distinct(rows: Sequence[RenderedRow]) -> list[RenderedRow]:
    """The first turn of every conversation: one row for each hash and number."""
    first: dict[tuple[str, int], RenderedRow] = {}
    for row in rows:
        first.setdefault((row.hash, row.number), row)
    return list(first.values())


def _longest(work: Work) -> int:
    lines = read_lines(work.folder.artefact(TOKENS), TokenLine)
    return max(max(len(line.ids) for line in lines), COMPARED_TOKENS)
