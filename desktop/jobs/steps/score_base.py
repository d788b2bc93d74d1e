"""Step "score": how good the base is before any tuning, zero-shot and with three examples."""

from collections.abc import Sequence

from converters.events import Stage
from desktop.core.records import Record, read_record, write_record
from desktop.engine.child import EngineChild
from desktop.jobs.parity import rows_to_compare
from desktop.jobs.scoring import RowScore, exact_share, nats_a_token, score_rows
from desktop.jobs.steps.prepare_text import READING, ReadingFile, token_rows_of
from desktop.jobs.steps.written import WrittenScore, write_answers
from desktop.jobs.work import Work
from finetune.data.segments import TokenRow

BASE_SCORE = "base_score.json"


class BaseScore(Record):
    """Content of `base_score.json`. exact, few_shot: shares; loss in nats a learnt token."""

    exact: float
    few_shot: float | None
    loss: float
    rows: int
    written: WrittenScore | None


def score_base_step(work: Work) -> None:
    """Score the base on the held-out rows and write `base_score.json`."""
    work.report(Stage("score the base"))
    reading = read_record(work.folder.artefact(READING), ReadingFile)
    rows = rows_to_compare(token_rows_of(work, "held_out"))
    few_shot = token_rows_of(work, "few_shot")
    room = room_for([*rows, *few_shot])
    with EngineChild(work.job.base.path, n_ctx=room, threads=2, log=work.engine_log) as child:
        scores = score_rows(rows, child.log_probs, work.report, work.should_stop)
        shown = score_rows(few_shot, child.log_probs, work.report, work.should_stop)
        written = write_answers(work, child, reading)
    write_record(work.folder.artefact(BASE_SCORE), BaseScore(
        exact=exact_share(scores), few_shot=exact_share(shown) if shown else None,
        loss=nats_a_token(scores), rows=len(scores), written=written,
    ))


def room_for(rows: Sequence[TokenRow], more: int = 0) -> int:
    """Tokens of context for the longest row and `more`, in llama.cpp's steps of 256."""
    longest = max((len(row.ids) for row in rows), default=0) + more
    return max(2048, -(-longest // 256) * 256)


def metric_of(task: str, scores: Sequence[RowScore]) -> tuple[str, float]:
    """The name and value of a task's main figure."""
    if task == "text":
        return "loss", nats_a_token(scores)
    return ("accuracy" if task == "labels" else "exact"), exact_share(scores)
