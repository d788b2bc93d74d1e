"""What helps when a run does not fit, with its figures; the largest lever that suffices first.

Torch-free. A lever is a setting that the person can change; each is given its mildest value that
makes the run fit, else its strongest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from converters.gguf.header import Header
from finetune.data.segments import TokenRow
from finetune.plan import case_for, plan_of
from finetune.plan_activations import Compute
from finetune.spec import TOKENS_A_PASS, TuneSpec

SHORTEST_ROW, SMALLEST_RANK = 128, 4


@dataclass(frozen=True)
class Lever:
    """One change: what to do, in words with its option, and the run's bytes after it.

    reach: the most that this kind of change can save, also with stronger values than this one.
    """

    text: str
    total_bytes: int
    suffices: bool
    reach: int


@dataclass(frozen=True)
class Situation:
    """A run that is planned: the model, the settings, the rows (None: not read) and the room."""

    header: Header
    spec: TuneSpec
    compute: Compute
    rows: Sequence[TokenRow] | None
    available_bytes: int

    def total(self, **changes: object) -> int:
        """Bytes of the run with other settings. Shorter rows are cut as the training cuts them."""
        spec = self.spec.model_copy(update=changes)
        rows = self.rows
        if rows and spec.max_tokens < self.spec.max_tokens:
            length = spec.max_tokens
            rows = [
                replace(row, ids=row.ids[-length:], learnt=row.learnt[-length:]) for row in rows
            ]
        return plan_of(self.header, case_for(self.header, spec, self.compute, rows)).total_bytes


def levers(of: Situation) -> list[Lever]:
    """Every lever that lowers the memory, in the order of `by_weight`."""
    return by_weight([lever for make in _LEVERS if (lever := _mildest(of, make)) is not None])


def by_weight(found: Sequence[Lever]) -> list[Lever]:
    """Those that suffice first, and of these the largest first."""
    return sorted(found, key=lambda lever: (not lever.suffices, -lever.reach))


_Make = Callable[[Situation], Iterator[tuple[str, int]]]


def _mildest(of: Situation, make: _Make) -> Lever | None:
    before = of.total()
    settings = [(text, total) for text, total in make(of) if total < before]
    if not settings:
        return None
    reach = before - min(total for _, total in settings)
    text, total = next(
        (setting for setting in settings if setting[1] <= of.available_bytes), settings[-1]
    )
    return Lever(text, total, total <= of.available_bytes, reach)


def _smaller_batch(of: Situation) -> Iterator[tuple[str, int]]:
    """Fewer tokens at once, down to one row at a time: a longer row goes alone anyway."""
    batch = case_for(of.header, of.spec, of.compute, of.rows).batch
    floor = max(batch.lengths)
    tokens = min(batch.tokens, TOKENS_A_PASS)
    while tokens > floor:
        tokens = max(tokens // 2, floor)
        yield (
            f"Train {tokens:,} tokens at a time instead of {batch.tokens:,} "
            f"(--tokens-per-step {tokens}), which makes the batch smaller too"
        ), of.total(tokens_per_step=tokens)


def _shorter_rows(of: Situation) -> Iterator[tuple[str, int]]:
    longest = max(len(row.ids) for row in of.rows) if of.rows else of.spec.max_tokens
    length = min(longest, of.spec.max_tokens)
    while length > SHORTEST_ROW:
        length = max(length // 2 // 16 * 16, SHORTEST_ROW)
        cut = ""
        if of.rows:
            count = sum(len(row.ids) > length for row in of.rows)
            cut = f", which cuts {count} of {len(of.rows)} rows"
        # Short rows are packed together up to the tokens of a step, so both are lowered.
        tokens = min(of.spec.tokens_per_step or TOKENS_A_PASS, length)
        yield (
            f"Shorten the rows to {length:,} tokens and train {tokens:,} at a time "
            f"(--max-tokens {length} --tokens-per-step {tokens}){cut}"
        ), of.total(max_tokens=length, tokens_per_step=tokens)


def _recompute(of: Situation) -> Iterator[tuple[str, int]]:
    if not of.spec.recompute:
        yield (
            "Compute activations again instead of keeping them (--recompute), which changes no "
            "result and makes a step about a third longer"
        ), of.total(recompute=True)


def _blocks(of: Situation) -> Iterator[tuple[str, int]]:
    if of.spec.base != "blocks":
        yield "Keep the base in its own blocks (--base blocks)", of.total(base="blocks")


def _lower_rank(of: Situation) -> Iterator[tuple[str, int]]:
    rank = of.spec.rank
    while rank > SMALLEST_RANK:
        rank = max(rank // 2, SMALLEST_RANK)
        yield f"Lower the adapter's rank to {rank} (--rank {rank})", of.total(rank=rank)


_LEVERS: tuple[_Make, ...] = (_smaller_batch, _recompute, _shorter_rows, _blocks, _lower_rank)
