"""Which task the answers are: `labels`, `json` or `text` (DESIGN 6)."""

from collections.abc import Sequence
from typing import Literal

from finetune.tasks.json import parse_answer

Task = Literal["labels", "json", "text"]
MOST_LABELS = 200
LONGEST_LABEL = 64


def detect(answers: Sequence[str]) -> Task:
    """The task of the training rows' answers.

    json: every answer is a JSON object or list. labels: at most 200 distinct one-line strings of
    at most 64 characters, each used twice on average (else short free answers would count).
    """
    if answers and all(parse_answer(answer) is not None for answer in answers):
        return "json"
    distinct = {answer.strip() for answer in answers}
    is_short = all(len(label) <= LONGEST_LABEL and "\n" not in label for label in distinct)
    if is_short and 0 < len(distinct) <= min(MOST_LABELS, len(answers) // 2):
        return "labels"
    return "text"
