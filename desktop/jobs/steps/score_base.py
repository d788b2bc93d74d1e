"""Step "score the base": what it can do with three examples, and what it writes without any.

Its plain score on the held-out rows comes from the comparison, which runs every row through the
base anyway.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    with two_children(work, work.job.base.path, room) as children:
        asks = [child.log_probs_async for child in children]
        shown = score_rows(few_shot, asks, work.report, work.should_stop)
        written = write_answers(work, children, reading)
    write_record(work.folder.artefact(BASE_SCORE), BaseScore(
        few_shot=exact_share(shown) if shown else None, written=written
    ))


@contextmanager
def two_children(work: Work, model: Path, room: int) -> Iterator[list[EngineChild]]:
    """Two children of one thread each on the same file, whose weights they share in memory."""
    with (
        EngineChild(model, n_ctx=room, log=work.engine_log) as first,
        EngineChild(model, n_ctx=room, log=work.engine_log) as second,
    ):
        yield [first, second]


def room_for(rows: Sequence[TokenRow], more: int = 0) -> int:
    """Tokens of context for the longest row and `more`, in llama.cpp's steps of 256."""
    longest = max((len(row.ids) for row in rows), default=0) + more
    return max(2048, -(-longest // 256) * 256)

