"""Step "render": rows and hard conversations as text and ids, written for every later step."""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import resources
from converters.durable_files import staged_file
from converters.events import Stage
from desktop.core.records import Record, read_lines, write_record
from desktop.engine.child import EngineChild
from desktop.jobs.data import Data, read_data, task_of
from desktop.jobs.prepared import (
    PreparedText,
    TextSource,
    few_shot_rows,
    note_limits,
    note_rows,
    prepare_text,
)
from desktop.jobs.render import HardRender
from desktop.jobs.work import Work
from finetune.data.segments import TokenRow
from finetune.tasks.detect import Task

ROWS, HARD, TOKENS, READING = "rows.jsonl", "hard.jsonl", "tokens.jsonl", "reading.json"
Part = Literal["train", "held_out", "few_shot"]


class TokenLine(Record):
    """One line of `tokens.jsonl`: a row's ids and which of them are learnt. The rows of the part
    `few_shot` are held-out rows behind three training examples."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]
    hash: str
    number: int
    part: Part

    def token_row(self) -> TokenRow:
        """The row as the finetune room takes it."""
        return TokenRow(self.ids, self.learnt, self.hash, self.number)


class ReadingFile(Record):
    """Content of `reading.json`: how the base reads text, and what the data are."""

    bos: int | None
    bos_text: str
    end_of_turn: str
    end_tokens: tuple[int, ...]
    task: Task
    max_tokens: int
    rows: int
    rejected: int
    duplicates: int
    cut: int


def render_step(work: Work) -> None:
    """Render and tokenise everything; write rows, hard, tokens and reading."""
    work.report(Stage("render"))
    data = read_data(work.job.tune, work.should_stop)
    work.report(note_rows(data))
    source = TextSource(work.job.base.path, work.base, work.render)
    with EngineChild(work.job.base.path, vocab_only=True, log=work.engine_log) as child:
        prepared = prepare_text(
            source, child, data, work.job.tune, work.report, work.should_stop
        )
        few_shot = few_shot_rows(source, prepared, work.report)
    limits = note_limits(prepared)
    if limits:
        work.report(limits)
    _write_all(work, prepared, few_shot)
    write_record(work.folder.artefact(READING), _reading_file(work, data, prepared))


def token_rows_of(work: Work, part: Part) -> list[TokenRow]:
    """The job's token rows of one part, in order."""
    lines = read_lines(work.folder.artefact(TOKENS), TokenLine)
    return [line.token_row() for line in lines if line.part == part]


def _reading_file(work: Work, data: Data, prepared: PreparedText) -> ReadingFile:
    vocabulary = prepared.vocabulary
    return ReadingFile(
        bos=prepared.reading.bos, bos_text=vocabulary.text(vocabulary.bos),
        end_of_turn=prepared.reading.end_of_turn,
        end_tokens=tuple(sorted(vocabulary.end_tokens)),
        task=task_of(work.job.tune, data.parts.train), max_tokens=prepared.max_tokens,
        rows=data.rows.total, rejected=len(data.rows.rejected), duplicates=data.rows.duplicates,
        cut=prepared.cut,
    )


def _write_all(work: Work, prepared: PreparedText, few_shot: list[TokenRow]) -> None:
    folder = work.folder
    _write_lines(folder.artefact(ROWS), (row.model_dump(mode="json") for row in prepared.rendered))
    _write_lines(folder.artefact(HARD), (hard.model_dump() for hard in _hard(work)))
    _write_lines(folder.artefact(TOKENS), chain(
        _token_lines("train", prepared.train.rows),
        _token_lines("held_out", prepared.held_out.rows),
        _token_lines("few_shot", few_shot),
    ))


def _hard(work: Work) -> Iterable[HardRender]:
    text = resources.path("hard_conversations.json").read_text(encoding="utf-8")
    for conversation in json.loads(text):
        messages = conversation["messages"]
        rendered = work.render_or_refusal(work.job.base.model, messages)
        yield HardRender(name=conversation["name"], messages=messages, render=rendered)


def _token_lines(part: Part, rows: Iterable[TokenRow]) -> Iterable[dict[str, Any]]:
    for row in rows:
        yield {
            "ids": row.ids, "learnt": row.learnt, "hash": row.hash, "number": row.number,
            "part": part,
        }


def _write_lines(path: Path, values: Iterable[Any]) -> None:
    with staged_file(path) as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
