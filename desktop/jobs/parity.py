"""Collects what the proofs "logits" and "delta" judge: each held-out row through every engine.

Row by row, so that only a few distributions are in memory; the llama.cpp children work on one
core while torch works on another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.errors import Stopped
from converters.events import Progress, Report, ShouldStop
from desktop.jobs.scoring import Ask, RowScore, score_of
from desktop.proof.logits import RowDivergence, divergence
from finetune.data.segments import TokenRow

LogProbs = NDArray[np.float32]
ScoreNow = Callable[[Sequence[int], int], LogProbs]
MOST_ROWS, MOST_TOKENS, FEWEST_ROWS = 100, 20_000, 20


@dataclass(frozen=True)
class Engines:
    """Every way of computing a row: `base`, `adapter` (base + our GGUF adapter), `file` and
    `expansion` (its F32 form; None for large models) in llama.cpp; `torch_base` and `torch_tuned`
    in torch, F32."""

    base: Ask
    adapter: Ask
    file: Ask
    expansion: Ask | None
    torch_base: ScoreNow
    torch_tuned: ScoreNow


@dataclass(frozen=True)
class RowFigures:
    """One row: how far the engines are apart, and its score in the base's file, with base +
    adapter, and in the exported file."""

    divergence: RowDivergence
    base: RowScore
    reference: RowScore
    exported: RowScore


def rows_to_compare(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """The first 100 rows, or 20,000 tokens if that is less, but never under 20 rows (DESIGN 5)."""
    chosen: list[TokenRow] = []
    tokens = 0
    for row in rows[:MOST_ROWS]:
        if tokens > MOST_TOKENS and len(chosen) >= FEWEST_ROWS:
            break
        chosen.append(row)
        tokens += len(row.ids)
    return chosen


def collect(
    rows: Sequence[TokenRow], engines: Engines, report: Report, should_stop: ShouldStop
) -> list[RowFigures]:
    """Figures of every row, in order, with progress. Raises Stopped when asked to."""
    figures = []
    for at, row in enumerate(rows):
        if should_stop():
            raise Stopped
        figures.append(_figures(row, engines))
        report(Progress(step=at + 1, steps=len(rows)))
    return figures


def _figures(row: TokenRow, engines: Engines) -> RowFigures:
    ids, start = row.ids, row.first_learnt
    base, adapter, file = (
        ask(ids, start) for ask in (engines.base, engines.adapter, engines.file)
    )
    expansion = engines.expansion(ids, start) if engines.expansion else None
    torch_base = engines.torch_base(ids, start)
    torch_tuned = engines.torch_tuned(ids, start)
    learnt = np.asarray(row.learnt[start:])
    in_base, with_adapter, in_file = base.result(), adapter.result(), file.result()

    def apart(first: LogProbs, second: LogProbs) -> float:
        return divergence(first[learnt], second[learnt])

    return RowFigures(
        RowDivergence(
            tokens=int(learnt.sum()),
            adapter_file=apart(with_adapter, in_file),
            torch_file=apart(torch_tuned, in_file),
            torch_base=apart(torch_base, in_base),
            torch_expansion=apart(torch_tuned, expansion.result()) if expansion else None,
            effect_llama=apart(in_base, in_file),
            effect_torch=apart(torch_base, torch_tuned),
        ),
        score_of(row, in_base),
        score_of(row, with_adapter),
        score_of(row, in_file),
    )
