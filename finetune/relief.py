"""What a person accepted after the memory ran out; applied to packs at run time, after packing.

So the steps, their order and the effective batch stay what they were. Torch-free.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from finetune.data.packing import Pack
from finetune.data.segments import TokenRow, limit

# Rows are not cut below this: what is left would hold no answer.
SHORTEST_ROWS = 64


class Relief(BaseModel):
    """split: parts that each pack goes through the model in. row_tokens: where longer rows are
    cut, None for nowhere. recompute: activations are computed again instead of kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: int = Field(default=1, ge=1)
    row_tokens: int | None = Field(default=None, ge=1)
    recompute: bool = False


def relieved(packs: Sequence[Pack], relief: Relief) -> tuple[Pack, ...]:
    """The packs of one step as they go through the model: rows cut, then packs split.

    Rows in which nothing is left to learn are left out; a step may lose all of them.
    """
    parts: list[Pack] = []
    for content in packs:
        rows = content.rows
        if relief.row_tokens is not None:
            rows = limit(rows, relief.row_tokens).rows
        parts += _split(rows, relief.split)
    return tuple(parts)


def next_rung(relief: Relief, packs: Sequence[Pack]) -> Relief | None:
    """What may help next where `packs`, relieved, did not fit; None if nothing is left.

    Half the tokens at once while a pack has more than one row, then rows of half the length met,
    then recomputing, then shorter rows again.
    """
    if any(len(content.rows) > 1 for content in packs):
        return relief.model_copy(update={"split": 2 * relief.split})
    longest = max((length for content in packs for length in content.lengths), default=0)
    shorter = relief.model_copy(update={"row_tokens": longest // 2})
    can_cut = longest // 2 >= SHORTEST_ROWS
    if can_cut and relief.row_tokens is None:
        return shorter
    if not relief.recompute:
        return relief.model_copy(update={"recompute": True})
    return shorter if can_cut else None


def notes(relief: Relief, rows: Sequence[TokenRow]) -> list[str]:
    """What the accepted relief changes for `rows`, one sentence each."""
    found: list[str] = []
    if relief.split > 1:
        found.append(
            f"To save memory each pass is done in {relief.split} parts; the effective batch stays "
            "the same."
        )
    if relief.row_tokens is not None:
        limited = limit(rows, relief.row_tokens)
        found.append(
            f"To save memory rows are cut at {relief.row_tokens:,} tokens: {len(limited.cut):,} "
            f"rows are longer, {len(limited.all_masked):,} of them are left out because nothing "
            "is left to learn."
        )
    if relief.recompute:
        found.append(
            "To save memory activations are computed again instead of kept; a step takes about a "
            "third longer."
        )
    return found


def offer_text(relief: Relief, offer: Relief) -> str:
    """The offer in words, as the hint of the pause."""
    if offer.split > relief.split:
        what = (
            "half as many tokens go through the model at once, in twice as many passes; the "
            "effective batch stays the same"
        )
    elif offer.row_tokens != relief.row_tokens:
        what = f"rows are cut at {offer.row_tokens:,} tokens"
    else:
        what = (
            "activations are computed again instead of kept; the result stays the same, a step "
            "takes about a third longer"
        )
    return f"Accept the offer and continue: {what}."


def _split(rows: Sequence[TokenRow], parts: int) -> list[Pack]:
    """Into at most `parts` packs of about equal size: the longest row first, to the emptiest."""
    bins: list[list[TokenRow]] = [[] for _ in range(min(parts, len(rows)))]
    filled = [0] * len(bins)
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        emptiest = filled.index(min(filled))
        bins[emptiest].append(row)
        filled[emptiest] += len(row.ids)
    return [Pack(tuple(content)) for content in bins]
