"""The bookkeeping of several answers written in one decode call. Knows no libllama."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.llama.context import Tokens


@dataclass
class Slot:
    """One prompt on its way to an answer; `pending` are the tokens that it feeds next."""

    index: int
    prompt: list[int]
    answer: list[int] = field(default_factory=list)
    sequence: int = 0
    position: int = 0
    pending: list[int] = field(default_factory=list)

    def start(self, sequence: int, shared: int) -> None:
        """Take a sequence whose first `shared` tokens are already evaluated."""
        self.sequence = sequence
        self.position = shared
        self.pending = self.prompt[shared:]

    def take(self, token: int) -> None:
        """Append the chosen token; it is what the slot feeds next."""
        self.position += len(self.pending)
        self.answer.append(token)
        self.pending = [token]

    def is_done(self, max_tokens: int, end_tokens: Collection[int]) -> bool:
        """Whether the answer ended by itself or reached its limit."""
        return len(self.answer) >= max_tokens or self.answer[-1] in end_tokens


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many first ids all prompts share, less one: each must keep an id of its own to feed."""
    shortest = min(len(prompt) for prompt in prompts)
    if shortest == 0:
        raise ValueError("at least one id is needed in every prompt")
    for at in range(shortest - 1):
        if len({prompt[at] for prompt in prompts}) > 1:
            return at
    return shortest - 1


def step_tokens(slots: Sequence[Slot]) -> Tokens:
    """What `slots` feed next as one batch; the logits of each slot's last token are wanted."""
    counts = [len(slot.pending) for slot in slots]
    ids = np.concatenate([np.asarray(slot.pending, np.int32) for slot in slots])
    positions = np.concatenate(
        [slot.position + np.arange(len(slot.pending), dtype=np.int32) for slot in slots]
    )
    sequences = np.repeat(np.asarray([slot.sequence for slot in slots], np.int32), counts)
    wanted = np.zeros(len(ids), np.int8)
    wanted[np.cumsum(counts) - 1] = 1
    return Tokens(ids, positions, sequences, wanted)
