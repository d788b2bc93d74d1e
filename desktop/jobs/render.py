"""Rows of conversations -> segments of text, exactly as the server will render them (DESIGN 4.1).

Each assistant turn that is to be learnt is one training row: the render of everything before it is
context, the answer and the end of turn are learnt. Knows no server: the render function is given.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from converters.errors import Stopped, UserError
from converters.events import Progress, Report, ShouldStop
from desktop.core.records import Record
from finetune.data.rows import Row
from finetune.data.segments import Segment, SegmentRow
from finetune.data.split import Split

Chat = list[dict[str, str]]
Render = Callable[[Chat], str]
FirstId = Callable[[str], int | None]

_PROBE = ("What is the first probe?", "The sixth answer stands here.", "And the second probe?")
FEW_SHOTS = 3


class RenderedRow(Record):
    """One line of `artefacts/rows.jsonl`; `messages` ends with the answer that is learnt."""

    messages: list[dict[str, str]]
    segments: list[tuple[str, bool]]
    hash: str
    number: int
    split: Literal["train", "held_out"]

    @property
    def context(self) -> str:
        """The text that the model is given."""
        return "".join(text for text, learnt in self.segments if not learnt)

    def segment_row(self) -> SegmentRow:
        """The row as the finetune room takes it."""
        segments = tuple(Segment(text, learnt) for text, learnt in self.segments)
        return SegmentRow(segments, self.hash, self.number)


class HardRender(Record):
    """One line of `artefacts/hard.jsonl`: a fixed hard conversation and the base's render of it."""

    name: str
    messages: list[dict[str, str]]
    render: str


def end_of_turn(render: Render, end_texts: dict[int, str], first_id: FirstId, default: str) -> str:
    """The text that ends an answer: what stands between an answer and the next turn, if it is one
    of the model's end tokens (`end_texts`: id -> text), else `default` (its eot or eos).

    first_id: the first token of a text. Raises UserError if the template loses the answer.
    """
    question, answer, second = _PROBE
    text = render([_turn("user", question), _turn("assistant", answer), _turn("user", second)])
    at = text.rfind(answer)
    if at < 0 or second not in text[at:]:
        raise UserError(
            "The model's chat template cannot be trained.",
            "It leaves earlier answers out of the text, so the end of an answer is not visible.",
            "Choose another base model.",
        )
    following = text[at + len(answer) :]
    first = first_id(following) if following else None
    return end_texts.get(first, default) if first is not None else default


def render_split(
    parts: Split, render: Render, end: str, report: Report, should_stop: ShouldStop
) -> Iterator[RenderedRow]:
    """Every assistant turn of every row, training rows first. Raises Stopped when asked to."""
    total = len(parts.train) + len(parts.held_out)
    done = 0
    named: tuple[tuple[Literal["train", "held_out"], Sequence[Row]], ...] = (
        ("train", parts.train), ("held_out", parts.held_out)
    )
    for split, rows in named:
        for row in rows:
            if should_stop():
                raise Stopped
            yield from _turns(row, split, render, end)
            done += 1
            if done % 20 == 0 or done == total:
                report(Progress(step=done, steps=total))


def few_shot_chat(examples: Sequence[RenderedRow], row: RenderedRow) -> Chat:
    """The row's question behind the examples' turns; a system message stays in front."""
    leading = [turn for turn in row.messages[:1] if turn["role"] == "system"]
    shown = [turn for example in examples for turn in example.messages if turn["role"] != "system"]
    return [*leading, *shown, *row.messages[len(leading) : -1]]


def _turns(
    row: Row, split: Literal["train", "held_out"], render: Render, end: str
) -> Iterator[RenderedRow]:
    chat = row.chat()
    for at, turn in enumerate(chat):
        if turn["role"] != "assistant" or not row.messages[at].is_learnt:
            continue
        segments = [(render(chat[:at]), False), (turn["content"], True), (end, True)]
        yield RenderedRow(
            messages=chat[: at + 1], segments=segments, hash=row.hash, number=row.number,
            split=split,
        )


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
