"""Answers written out by greedy decoding and scored part by part (tasks `json` and `labels`)."""

from collections.abc import Sequence

from converters.errors import Stopped
from converters.events import Progress
from desktop.core.records import Record, read_lines
from desktop.engine.child import EngineChild
from desktop.jobs.render import RenderedRow
from desktop.jobs.steps.prepare_text import ROWS, TOKENS, ReadingFile, TokenLine
from desktop.jobs.work import Work
from finetune.data.segments import TokenRow
from finetune.tasks import json as json_task
from finetune.tasks import labels as labels_task

BATCH = 10
SPARE_TOKENS = 16


class WrittenScore(Record):
    """Shares in [0, 1] over `rows` written answers.

    exact: the whole answer is right. valid: it is JSON, or one of the known labels. fields: each
    field of the JSON, or the F1 of each label. macro_f1: of labels, None for JSON.
    """

    exact: float
    valid: float
    fields: dict[str, float]
    rows: int
    macro_f1: float | None = None


def write_answers(
    work: Work, children: Sequence[EngineChild], reading: ReadingFile
) -> WrittenScore | None:
    """Write the answers to the job's first `examples` held-out rows and score them; None for tasks
    without parts. Raises Stopped when asked to."""
    if reading.task == "text" or not work.job.examples:
        return None
    tokens, rows = _whole_rows(work)
    limit = max(row.n_learnt for row in tokens) + SPARE_TOKENS
    prompts = [row.ids[: row.first_learnt] for row in tokens]
    batches = [prompts[at : at + BATCH] for at in range(0, len(prompts), BATCH)]
    answers: list[str] = []
    ends = set(reading.end_tokens)
    for at in range(0, len(batches), len(children)):
        if work.should_stop():
            raise Stopped
        pairs = zip(children, batches[at : at + len(children)], strict=False)
        written = [child.greedy_async(batch, limit, batched=True) for child, batch in pairs]
        for pending in written:
            kept = [[token for token in ids if token not in ends] for ids in pending.result()]
            answers += children[0].detokenize(kept)
            work.report(Progress(step=len(answers), steps=len(tokens)))
    expected = [row.messages[-1]["content"] for row in rows]
    return _label_score(expected, answers) if reading.task == "labels" else _json_score(
        expected, answers
    )


def _json_score(expected: list[str], answers: list[str]) -> WrittenScore:
    score = json_task.score(expected, answers)
    return WrittenScore(
        exact=score.exact, valid=score.valid, fields=score.fields, rows=score.rows
    )


def _label_score(expected: list[str], answers: list[str]) -> WrittenScore:
    score = labels_task.score(expected, answers)
    known = {label.strip() for label in expected}
    return WrittenScore(
        exact=score.accuracy, valid=sum(text.strip() in known for text in answers) / score.rows,
        fields=score.per_label, rows=score.rows, macro_f1=score.macro_f1,
    )


def _whole_rows(work: Work) -> tuple[list[TokenRow], list[RenderedRow]]:
    """Held-out rows of one answer that the limit did not cut, with their messages."""
    lines = read_lines(work.folder.artefact(TOKENS), TokenLine)
    tokens = {line.number: line.token_row() for line in lines if line.part == "held_out"}
    rendered = read_lines(work.folder.artefact(ROWS), RenderedRow)
    rows = [row for row in rendered if row.split == "held_out" and row.number in tokens]
    rows = list({row.number: row for row in rows}.values())[: work.job.examples]
    return [tokens[row.number] for row in rows], rows
