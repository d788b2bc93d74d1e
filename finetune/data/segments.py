"""Rendered segments to token ids with a mask of what is learnt; cutting rows that are too long.

Knows no chat template and no tokeniser: both are done elsewhere and handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Tokenize = Callable[[Sequence[str]], list[list[int]]]
TooLong = Literal["truncate", "split", "skip"]
# Bounds what one call of the tokeniser child has to hold.
BATCH_ROWS = 256


@dataclass(frozen=True)
class Segment:
    """A piece of rendered text; `learnt` text is what the model shall write itself."""

    text: str
    learnt: bool


@dataclass(frozen=True)
class SegmentRow:
    """One assistant turn: the context's text, then the answer with its end of turn.

    `hash` is that of the conversation (see `rows.Row`), `number` its line in the data file.
    """

    segments: tuple[Segment, ...]
    hash: str
    number: int = 0

    def as_json(self) -> dict[str, Any]:
        """The shape of a line in `artefacts/rows.jsonl` (without messages and split)."""
        pairs = [[segment.text, segment.learnt] for segment in self.segments]
        return {"segments": pairs, "hash": self.hash, "number": self.number}


@dataclass(frozen=True)
class TokenRow:
    """Token ids and, of equal length, whether each is learnt (predicted from those before it)."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]
    hash: str
    number: int = 0

    @property
    def n_learnt(self) -> int:
        """How many tokens of the row carry loss."""
        return sum(self.learnt)

    @property
    def first_learnt(self) -> int:
        """Place of the first learnt token, at least 1. Raises ValueError if there is none."""
        return self.learnt.index(True)


@dataclass(frozen=True)
class TokenRows:
    """Rows ready to be packed, and what the limit did to the others.

    cut: rows that were over the limit and were truncated or split. skipped: left out as too long.
    all_masked: left out because no learnt token is left. Numbers are lines of the data file.
    """

    rows: tuple[TokenRow, ...]
    cut: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()
    all_masked: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of all rows together."""
        return sum(len(row.ids) for row in self.rows)

    @property
    def learnt_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(row.n_learnt for row in self.rows)


def segment_row_from_json(value: dict[str, Any]) -> SegmentRow:
    """The inverse of `SegmentRow.as_json`; other keys of a `rows.jsonl` line are not looked at."""
    segments = tuple(Segment(text, learnt) for text, learnt in value["segments"])
    return SegmentRow(segments, value["hash"], value.get("number", 0))


def token_rows(
    rows: Sequence[SegmentRow], context: Tokenize, answer: Tokenize
) -> Iterator[TokenRow]:
    """Tokenise each segment apart: learnt ones by `answer`, the others by `context`.

    `context` puts the BOS in front where the model wants one. A row's first token cannot be
    predicted from anything and is never learnt.
    """
    for start in range(0, len(rows), BATCH_ROWS):
        part = rows[start : start + BATCH_ROWS]
        yield from _token_rows(part, context, answer)


def limit(rows: Iterable[TokenRow], max_tokens: int, too_long: TooLong = "truncate") -> TokenRows:
    """Apply the limit. truncate keeps a row's first `max_tokens` tokens; split makes several rows
    of it, each learnt token in exactly one; skip leaves the row out. Rows in which nothing is
    learnt any more are left out and listed.
    """
    kept: list[TokenRow] = []
    cut: list[int] = []
    skipped: list[int] = []
    all_masked: list[int] = []
    for row in rows:
        is_long = len(row.ids) > max_tokens
        if is_long and too_long == "skip":
            skipped.append(row.number)
            continue
        if is_long:
            cut.append(row.number)
        pieces = [piece for piece in _pieces(row, max_tokens, too_long) if any(piece.learnt)]
        kept += pieces
        if not pieces:
            all_masked.append(row.number)
    return TokenRows(tuple(kept), tuple(cut), tuple(skipped), tuple(all_masked))


def _token_rows(
    rows: Sequence[SegmentRow], context: Tokenize, answer: Tokenize
) -> Iterator[TokenRow]:
    segments = [segment for row in rows for segment in row.segments]
    learnt = iter(answer([segment.text for segment in segments if segment.learnt]))
    other = iter(context([segment.text for segment in segments if not segment.learnt]))
    for row in rows:
        ids: list[int] = []
        mask: list[bool] = []
        for segment in row.segments:
            piece = next(learnt if segment.learnt else other)
            ids += piece
            mask += [segment.learnt] * len(piece)
        mask[:1] = [False] * min(1, len(mask))
        yield TokenRow(tuple(ids), tuple(mask), row.hash, row.number)


def _pieces(row: TokenRow, max_tokens: int, too_long: TooLong) -> Iterator[TokenRow]:
    yield _window(row, 0, 0, max_tokens)
    if too_long != "split":
        return
    # Each further window sees half of itself again as context, so that no token is learnt blind.
    done = max_tokens
    while done < len(row.ids):
        start = done - max_tokens // 2
        yield _window(row, start, done, start + max_tokens)
        done = start + max_tokens


def _window(row: TokenRow, start: int, learn_from: int, stop: int) -> TokenRow:
    context = [False] * (learn_from - start)
    return replace(
        row,
        ids=row.ids[start:stop],
        learnt=(*context, *row.learnt[learn_from:stop]),
    )
