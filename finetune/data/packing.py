"""Rows to packs within a token budget: best fit, longest first, in O(rows) with a bit mask.

A pack goes through the model at once; its rows do not see each other and each counts its
positions from zero (`packed_attention`). Torch-free.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from finetune.data.segments import TokenRow


@dataclass(frozen=True)
class Pack:
    """Rows that are laid one after the other."""

    rows: tuple[TokenRow, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each row."""
        return tuple(len(row.ids) for row in self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of the pack."""
        return sum(self.lengths)

    @property
    def learnt_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(row.n_learnt for row in self.rows)

    def ids(self) -> list[int]:
        """The tokens, row after row."""
        return list(chain.from_iterable(row.ids for row in self.rows))

    def positions(self) -> list[int]:
        """The place of each token in its own row, from zero."""
        return list(chain.from_iterable(range(length) for length in self.lengths))

    def targets(self) -> tuple[list[int], list[int]]:
        """(places, ids): the state at `places[i]` of the pack predicts the learnt `ids[i]`."""
        places: list[int] = []
        ids: list[int] = []
        start = 0
        for row in self.rows:
            learnt = [at for at, flag in enumerate(row.learnt) if flag]
            places += [start + at - 1 for at in learnt]
            ids += [row.ids[at] for at in learnt]
            start += len(row.ids)
        return places, ids


def pack(rows: Sequence[TokenRow], budget: int) -> list[Pack]:
    """Best-fit decreasing: no pack holds more than `budget` tokens, but a longer row goes alone.

    Rows of equal length keep their order, so that shuffled rows give other packs of the same
    number.
    """
    bins: list[list[TokenRow]] = []
    # with_room[n]: bins that have room for exactly n more tokens; bit n of `rooms`: there are any.
    with_room: dict[int, list[int]] = {}
    rooms = 0
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        length = len(row.ids)
        fitting = rooms >> length
        if not fitting:
            bins.append([row])
            place, room = len(bins) - 1, budget - length
        else:
            found = length + (fitting & -fitting).bit_length() - 1
            place, room = with_room[found].pop(), found - length
            bins[place].append(row)
            if not with_room[found]:
                rooms &= ~(1 << found)
        if room > 0:
            with_room.setdefault(room, []).append(place)
            rooms |= 1 << room
    return [Pack(tuple(content)) for content in bins]


def packs_a_step(tokens_per_step: int, budget: int) -> int:
    """How many packs make an optimiser step."""
    return max(1, round(tokens_per_step / budget))


def steps_of_epoch(
    rows: Sequence[TokenRow], budget: int, tokens_per_step: int, seed: int
) -> list[tuple[Pack, ...]]:
    """One epoch, shuffled by `seed`: every row once, each step its packs.

    The number of steps does not depend on the seed.
    """
    order = random.Random(seed)
    shuffled = list(rows)
    order.shuffle(shuffled)
    packs = pack(shuffled, budget)
    order.shuffle(packs)
    size = packs_a_step(tokens_per_step, budget)
    return [tuple(packs[start : start + size]) for start in range(0, len(packs), size)]


def endless_steps(
    rows: Sequence[TokenRow],
    budget: int,
    tokens_per_step: int,
    seed: int,
    *,
    epoch: int = 0,
    index: int = 0,
) -> Iterator[tuple[Pack, ...]]:
    """Epoch after epoch, each in another order, from step `index` of `epoch` on.

    Raises ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("no rows to train on")
    while True:
        yield from steps_of_epoch(rows, budget, tokens_per_step, seed * 1_000_003 + epoch)[index:]
        epoch, index = epoch + 1, 0
