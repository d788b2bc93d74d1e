"""The data of a job: read, split, rendered, tokenised; with a count for everything left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import UserError
from converters.events import ShouldStop
from desktop.core.records import Record
from desktop.jobs.render import RenderedRow
from finetune.data.rows import Row, Rows, read_rows, require_accepted
from finetune.data.segments import TokenRow, TokenRows, TooLong, limit, token_rows
from finetune.data.split import Split, split, without_overlap
from finetune.spec import TuneSpec
from finetune.tasks.detect import Task, detect

TokenizeTexts = Callable[[Sequence[str], bool], list[list[int]]]
"""(texts, parse_special) -> the ids of each, without BOS."""


@dataclass(frozen=True)
class Data:
    """The rows of the data file, those of a held-out file of its own, and how they are split.

    overlap counts training rows that were left out because they stand in the held-out file too.
    """

    rows: Rows
    held_out: Rows | None
    parts: Split
    overlap: int


@dataclass(frozen=True)
class Reading:
    """How the model reads text: BOS id or None, and the text that ends a turn."""

    bos: int | None
    end_of_turn: str
    tokenize: TokenizeTexts

    def context(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of rendered text: control tokens are read, one BOS where the model wants one."""
        return [self._with_bos(ids) for ids in self.tokenize(texts, True)]

    def answer(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of what the model writes: an answer's text is plain, the end of turn is a token."""
        plain = self.tokenize(texts, False)
        if self.end_of_turn not in texts:
            return plain
        (end,) = self.tokenize([self.end_of_turn], True)
        return [end if text == self.end_of_turn else ids
                for text, ids in zip(texts, plain, strict=True)]

    def _with_bos(self, ids: list[int]) -> list[int]:
        if self.bos is None or ids[:1] == [self.bos]:
            return ids
        return [self.bos, *ids]


def read_data(spec: TuneSpec, should_stop: ShouldStop) -> Data:
    """Read and split the spec's files. Raises UserError if nothing can be trained or held out."""
    rows = read_rows(spec.data, spec.column_map(), should_stop)
    require_accepted(spec.data, rows)
    if spec.held_out is None:
        parts = split(rows.accepted, spec.seed)
        _require_held_out(parts, rows)
        return Data(rows, None, parts, 0)
    held_out = read_rows(spec.held_out, spec.column_map(), should_stop)
    require_accepted(spec.held_out, held_out)
    train = without_overlap(rows.accepted, held_out.accepted)
    if not train:
        raise UserError(
            "Nothing is left to train.",
            f"Every row of {spec.data.name} also stands in {spec.held_out.name}.",
            "Hold out other rows.",
        )
    parts = Split(train, held_out.accepted)
    return Data(rows, held_out, parts, len(rows.accepted) - len(train))


def tokens_of(
    rendered: Sequence[RenderedRow], reading: Reading, max_tokens: int, too_long: TooLong
) -> TokenRows:
    """Token rows within the limit, with what the limit did."""
    rows = [row.segment_row() for row in rendered]
    return limit(token_rows(rows, reading.context, reading.answer), max_tokens, too_long)


def require_trainable(train: TokenRows, held_out: TokenRows, max_tokens: int) -> None:
    """Raise UserError if the limit left nothing to train or to measure."""
    for rows, what in ((train, "training"), (held_out, "held-out")):
        if rows.rows:
            continue
        numbers = ", ".join(map(str, (rows.skipped or rows.all_masked)[:5]))
        raise UserError(
            f"No {what} row fits the limit of {max_tokens:,} tokens.",
            f"In all {len(rows.skipped) + len(rows.all_masked)} rows the answer starts beyond it "
            f"(rows {numbers} ...).",
            "Raise --max-tokens, or shorten the texts.",
        )


def answers_of(rows: Sequence[Row]) -> list[str]:
    """The assistant's texts of all rows, those with the weight 0 aside."""
    return [
        turn.content for row in rows for turn in row.messages
        if turn.role == "assistant" and turn.is_learnt
    ]


def task_of(spec: TuneSpec, rows: Sequence[Row]) -> Task:
    """The task that the spec names, else the one that the answers show."""
    return detect(answers_of(rows)) if spec.task == "auto" else spec.task


class TokenCounts(Record):
    """Tokens of all training and held-out rows after cutting; max, p50, p95 are per row."""

    total: int
    learnt: int
    max: int
    p50: int
    p95: int


def count_tokens(rows: Sequence[TokenRow]) -> TokenCounts:
    """The lengths of the rows, at least one."""
    lengths = np.array([len(row.ids) for row in rows])
    return TokenCounts(
        total=int(lengths.sum()), learnt=sum(row.n_learnt for row in rows),
        max=int(lengths.max()), p50=int(np.percentile(lengths, 50)),
        p95=int(np.percentile(lengths, 95)),
    )


def _require_held_out(parts: Split, rows: Rows) -> None:
    if parts.held_out:
        return
    shown = "; ".join(f"row {bad.row}: {bad.reason}" for bad in rows.rejected[:5])
    rejected = f" {len(rows.rejected)} were rejected ({shown})." if shown else ""
    raise UserError(
        "There are too few rows to hold any out.",
        f"{len(rows.accepted)} rows were accepted; 5 different ones are the least, 500 are better."
        f"{rejected}",
        "Add rows, or give measured rows as a file of their own with --held-out.",
    )
