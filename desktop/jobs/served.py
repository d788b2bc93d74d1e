"""What the server itself answers, scored by us on the file: part (c) of the proof "logits"."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from desktop.jobs.scoring import LogProbs
from desktop.ollama_api.replies import TokenLogProb
from desktop.proof.logits import CLEAR_LEAD, ServedRow

COMPARED_TOKENS = 24


def ids_of_answer(
    tokens: Sequence[TokenLogProb], ids_of_piece: Mapping[bytes, Sequence[int]]
) -> list[int]:
    """The ids of the server's tokens, up to the first whose bytes are no single id."""
    ids: list[int] = []
    for token in tokens:
        candidates = ids_of_piece.get(token.raw, ())
        if len(candidates) != 1:
            break
        ids.append(candidates[0])
    return ids


def compare_answer(
    context: Sequence[int], tokens: Sequence[TokenLogProb], pieces: Sequence[bytes],
    ids_of_piece: Mapping[bytes, Sequence[int]], log_probs: LogProbs,
) -> ServedRow:
    """Score the server's greedy tokens behind `context` on our file and compare both sides."""
    ids = ids_of_answer(tokens[:COMPARED_TOKENS], ids_of_piece)
    if not ids:
        return ServedRow(first_choice_differs=0, log_prob_differences=())
    ours = log_probs([*context, *ids], len(context))
    differs = sum(
        _clear_choice_differs(token, row, pieces)
        for token, row in zip(tokens, ours, strict=False)
    )
    differences = tuple(
        float(row[chosen]) - token.logprob
        for token, row, chosen in zip(tokens, ours, ids, strict=False)
    )
    return ServedRow(first_choice_differs=differs, log_prob_differences=differences)


def wants_to_end(
    context: Sequence[int], answer: Sequence[int], end_tokens: Collection[int],
    log_probs: LogProbs,
) -> bool:
    """Whether our file, along the server's own tokens, clearly chooses to end the answer where the
    server went on."""
    if not answer:
        return False
    table = log_probs([*context, *answer], len(context))
    return any(_clear_first(row) in end_tokens for row in table)


def _clear_first(row: NDArray[np.float32]) -> int | None:
    second, first = np.argpartition(row, -2)[-2:]
    return int(first) if float(row[first] - row[second]) > CLEAR_LEAD else None


def _clear_choice_differs(
    token: TokenLogProb, row: NDArray[np.float32], pieces: Sequence[bytes]
) -> bool:
    """Whether the first choices differ although one side's two best are more than 1.0 apart."""
    second, first = np.argpartition(row, -2)[-2:]
    our_lead = float(row[first] - row[second])
    their_lead = token.top[0][1] - token.top[1][1] if len(token.top) > 1 else 0.0
    is_clear = max(our_lead, their_lead) > CLEAR_LEAD
    their_first = token.top[0][2] if token.top else token.raw
    return is_clear and pieces[int(first)] != their_first


def index_of_pieces(pieces: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Token bytes -> the ids that have them."""
    index: dict[bytes, list[int]] = {}
    for token, piece in enumerate(pieces):
        index.setdefault(piece, []).append(token)
    return index
