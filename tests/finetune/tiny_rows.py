"""Rows that a tiny model can learn: one question token, then the answer that belongs to it."""

from finetune.data.segments import TokenRow

QUESTION, ANSWER_LENGTH, END = 40, 2, 1


def tiny_rows(count: int, *, first: int = 0) -> list[TokenRow]:
    """Rows numbered from `first`; the answer depends on the token before it alone."""
    return [_row(number) for number in range(first, first + count)]


def _row(number: int) -> TokenRow:
    topic = number % 8
    # The filler before the topic makes the rows differ in length and content.
    filler = [20 + (number * 3 + at) % 17 for at in range(1 + number % 5)]
    ids = [QUESTION, *filler, 2 + topic, 10 + topic, END]
    learnt = [False] * (len(ids) - ANSWER_LENGTH) + [True] * ANSWER_LENGTH
    return TokenRow(tuple(ids), tuple(learnt), f"{number:04}", number)
