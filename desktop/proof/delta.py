"""Proof "delta": the file's tensors hold the trained change, and nothing else changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from converters.gguf.retention import Retention, summed
from desktop.core.records import Record
from desktop.proof.report import Check, Proof, proof_of_checks

EACH = (0.9, 1.1)
ALL = (0.95, 1.05)
SCORE_POINTS = 0.02
TEXT_NATS = 0.01
P_BOUND = 0.05


@dataclass(frozen=True)
class TensorChange:
    """One touched tensor of the file against W0 + dW, with dW from the trained module itself."""

    name: str
    measured: Retention


class ScoredPair(Record):
    """One held-out row: is it exact with base + adapter, and in the file; or its nats a token."""

    reference: float
    exported: float


def judge_delta(
    changes: Sequence[TensorChange], missing: Sequence[str], differing: Sequence[str],
    identical: int, scores: Sequence[ScoredPair], *, lower_is_better: bool = False,
) -> Proof:
    """missing: tensors that the training changed and the file did not touch. differing: tensors
    that should be byte-identical and are not. scores: reference and exported, paired by row."""
    if not changes:
        return Proof(status="failed", figure=None, bound=None, detail="no tensor was changed")
    moved = [change for change in changes if change.measured.delta_sq]
    if not moved:
        detail = "the training changed nothing"
        return Proof(status="failed", figure=None, bound=None, detail=detail)
    total = summed(change.measured for change in moved)
    worst = max(moved, key=lambda change: abs(change.measured.retained - 1))
    error = max(changes, key=lambda change: change.measured.largest_error)
    checks = [
        Check(name="share of the change kept", figure=total.retained, low=ALL[0], high=ALL[1]),
        Check(name="tensors that changed and should not", figure=len(differing), high=0),
        Check(name="trained tensors without their change", figure=len(missing), high=0),
        Check(name=f"least well kept tensor ({worst.name})", figure=worst.measured.retained,
              low=EACH[0], high=EACH[1]),
        Check(name=f"largest error in grid steps ({error.name})",
              figure=error.measured.largest_error, high=1.0),
        _score_check(scores, lower_is_better),
    ]
    remarks = [f"{len(changes)} tensors hold the change, {identical} are byte-identical"]
    remarks += [f"first of them: {names[0]}" for names in (differing, missing) if names]
    return proof_of_checks(checks, *remarks)


def _score_check(scores: Sequence[ScoredPair], lower_is_better: bool) -> Check:
    """The loss of score, held to its bound only where a one-sided paired test finds it real."""
    if not scores:
        return Check(name="score rows", figure=0, low=1)
    sign = -1 if lower_is_better else 1
    lost = sign * sum(pair.reference - pair.exported for pair in scores) / len(scores)
    bound = TEXT_NATS if lower_is_better else SCORE_POINTS
    p = p_worse(scores, lower_is_better=lower_is_better)
    name = f"score lost by the export (chance finding with p = {p:.2f})"
    return Check(name=name, figure=lost, high=bound if p < P_BOUND else float("inf"))


def p_worse(scores: Sequence[ScoredPair], *, lower_is_better: bool = False) -> float:
    """One-sided sign test over the rows that differ: the chance of at least as many rows being
    worse in the file, if file and reference were equally good."""
    sign = -1 if lower_is_better else 1
    worse = sum(sign * (pair.exported - pair.reference) < 0 for pair in scores)
    better = sum(sign * (pair.exported - pair.reference) > 0 for pair in scores)
    differing = worse + better
    return sum(comb(differing, k) for k in range(worse, differing + 1)) / 2**differing
