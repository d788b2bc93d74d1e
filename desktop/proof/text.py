"""Proof "text": the created model renders every conversation as the base did, and stops alike."""

import re
from collections.abc import Sequence

from desktop.core.records import Record
from desktop.proof.report import Proof, proof_of_differences

_DATE = re.compile(
    r"\b(?:\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w* \d{4}"
    r"|\d{4}-\d{2}-\d{2})\b"
)


class RenderedPair(Record):
    """One conversation: the base's render as stored at render time, and the created model's."""

    name: str
    stored: str
    created: str


class Stopping(Record):
    """How one greedy chat ended on the server, and whether our engine on the file, given the
    server's own tokens, clearly wanted to end it: "stop", else "length".

    Along the server's tokens, because two near choices part the texts for good (0.03 nats made
    `card_card_card` of `card_activity`), and then their ends say nothing about each other.
    """

    server: str
    engine: str


def judge_text(
    pairs: Sequence[RenderedPair], bos_text: str, stops: Sequence[str],
    expected_stops: Sequence[str], endings: Sequence[Stopping],
) -> Proof:
    """Equal renders (after one leading BOS), equal stop lists, and chats that end with "stop"
    wherever our engine's do (DESIGN 5)."""
    differences = [
        f'conversation "{pair.name}" differs at character {_first_difference(pair, bos_text)}'
        for pair in pairs if _normal(pair.stored, bos_text) != _normal(pair.created, bos_text)
    ]
    faults = []
    if sorted(stops) != sorted(expected_stops):
        faults.append(f"stop texts are {sorted(stops)}, expected {sorted(expected_stops)}")
    unstopped = sum(end.engine == "stop" and end.server != "stop" for end in endings)
    if unstopped:
        faults.append(f"{unstopped} of {len(endings)} chats did not stop where the file ends them")
    stopped = sum(end.server == "stop" for end in endings)
    remarks = [
        f"stop texts {list(stops)}", f"{stopped} of {len(endings)} greedy chats end by themselves"
    ]
    compared = len(pairs) if endings else 0
    return proof_of_differences(
        compared, differences, "rendered conversations equal", *remarks, faults=faults
    )


def _normal(text: str, bos_text: str) -> str:
    """One leading BOS removed; a date that the template makes stands as a pattern."""
    if bos_text and text.startswith(bos_text):
        text = text[len(bos_text):]
    return _DATE.sub("<date>", text)


def _first_difference(pair: RenderedPair, bos_text: str) -> int:
    stored, created = _normal(pair.stored, bos_text), _normal(pair.created, bos_text)
    same = (a == b for a, b in zip(stored, created, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), min(len(stored), len(created)))
