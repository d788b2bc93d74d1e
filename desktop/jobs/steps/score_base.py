"""Step "score the base": what it can do with three examples, and what it writes without any.

Its plain score on the held-out rows comes from the comparison, which runs every row through the
base anyway.
"""

from collections.abc import Sequence

from converters.events import Stage
from desktop.core.records import Record, read_record, write_record
from desktop.engine.child import EngineChild
from desktop.jobs.scoring import exact_share, score_rows
from desktop.jobs.steps.prepare_text import READING, ReadingFile, token_rows_of
from desktop.jobs.steps.written import WrittenScore, write_answers
from desktop.jobs.work import Work
from finetune.data.segments import TokenRow

BASE_SCORE = "base_score.json"


class BaseScore(Record):
    """Content of `base_score.json`. few_shot: the share of exact rows behind three examples, None
    where such prompts are too long."""

    few_shot: float | None
    written: WrittenScore | None


def score_base_step(work: Work) -> None:
    """Score the base and write `base_score.json`."""
    work.report(Stage("score the base"))
    reading = read_record(work.folder.artefact(READING), ReadingFile)
    few_shot = token_rows_of(work, "few_shot")
    room = room_for([*few_shot, *token_rows_of(work, "held_out")])
    with EngineChild(work.job.base.path, n_ctx=room, threads=2, log=work.engine_log) as child:
        shown = score_rows(few_shot, child.log_probs, work.report, work.should_stop)
        written = write_answers(work, child, reading)
    write_record(work.folder.artefact(BASE_SCORE), BaseScore(
        few_shot=exact_share(shown) if shown else None, written=written
    ))


def room_for(rows: Sequence[TokenRow], more: int = 0) -> int:
    """Tokens of context for the longest row and `more`, in llama.cpp's steps of 256."""
    longest = max((len(row.ids) for row in rows), default=0) + more
    return max(2048, -(-longest // 256) * 256)

