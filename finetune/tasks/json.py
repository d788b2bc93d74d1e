"""Task `json`: every answer is a JSON object or list; exact, valid, per field."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class JsonScore:
    """Shares in [0, 1] over `rows` rows.

    exact: the value is equal, whatever its spaces and key order. valid: it parses. fields: by
    top-level key of the expected objects, how often the answer has the same value there.
    """

    exact: float
    valid: float
    fields: dict[str, float]
    rows: int


def parse_answer(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or list that `text` is, else None (a bare number or word is no answer)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def score(expected: Sequence[str], answers: Sequence[str]) -> JsonScore:
    """Compare written answers with the expected ones, row by row.

    Raises ValueError if the lengths differ or there are no rows.
    """
    if not expected:
        raise ValueError("no rows to score")
    exact = valid = 0
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for wanted_text, answer_text in zip(expected, answers, strict=True):
        wanted, answer = parse_answer(wanted_text), parse_answer(answer_text)
        valid += answer is not None
        exact += wanted is not None and answer == wanted
        if isinstance(wanted, dict):
            seen.update(wanted.keys())
            right.update(_right_keys(wanted, answer))
    rows = len(expected)
    fields = {key: right[key] / count for key, count in seen.items()}
    return JsonScore(exact / rows, valid / rows, fields, rows)


def _right_keys(wanted: dict[str, Any], answer: Any) -> list[str]:
    if not isinstance(answer, dict):
        return []
    return [key for key, value in wanted.items() if key in answer and answer[key] == value]
