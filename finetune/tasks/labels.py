"""Task `labels`: every answer is one of few short strings; accuracy and macro F1."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LabelScore:
    """Shares in [0, 1] over `rows` rows.

    accuracy: the label is right. macro_f1: mean of the F1 of every expected label, each weighing
    the same however often it occurs. per_label: those F1. An answer that is no label at all counts
    as a miss of the expected one.
    """

    accuracy: float
    macro_f1: float
    per_label: dict[str, float]
    rows: int


def score(expected: Sequence[str], answers: Sequence[str]) -> LabelScore:
    """Compare written answers with the expected labels, spaces around them aside.

    Raises ValueError if the lengths differ or there are no rows.
    """
    if not expected:
        raise ValueError("no rows to score")
    pairs = [(a.strip(), b.strip()) for a, b in zip(expected, answers, strict=True)]
    wanted = Counter(label for label, _ in pairs)
    written = Counter(answer for _, answer in pairs)
    right = Counter(label for label, answer in pairs if label == answer)
    # F1 = 2 right / (wanted + written): the harmonic mean of precision and recall.
    f1 = {label: 2 * right[label] / (wanted[label] + written[label]) for label in sorted(wanted)}
    return LabelScore(right.total() / len(pairs), sum(f1.values()) / len(f1), f1, len(pairs))
