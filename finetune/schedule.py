"""How many steps a run has, the learning rate of each, and when held-out rows are measured."""

import math
from collections.abc import Sequence

from finetune.data.segments import TokenRow
from finetune.spec import warm_up_steps

FLOOR = 0.1
# A forward costs a third of a training step, so evaluations take at most a fifth of the run.
EVALUATION_SHARE = 0.2
FORWARD_SHARE = 1 / 3
FEWEST_ROWS = 20
# The first step sets up kernels and threads, so the rate is measured on those after it.
UNMEASURED_STEPS, MEASURED_STEPS = 1, 3


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The rate of step `step` (from 0): linear warm-up, then a cosine down to a tenth of `peak`."""
    warm_up = warm_up_steps(steps)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def steps_for_time(
    epoch_steps: int, done: int, step_seconds: float, seconds_left: float
) -> int:
    """All steps of a run that has `seconds_left`: between one and two epochs."""
    possible = done + int(seconds_left / step_seconds)
    return min(max(possible, epoch_steps), 2 * epoch_steps)


def evaluation_steps(steps: int, between: int) -> frozenset[int]:
    """After which steps, strictly inside the run, held-out rows are measured."""
    every = steps / (between + 1)
    return frozenset(round(every * part) for part in range(1, between + 1)) - {0, steps}


def rows_to_evaluate(
    held_out: Sequence[TokenRow], at_most: int, evaluations: int, train_tokens: float
) -> tuple[TokenRow, ...]:
    """The held-out rows that every evaluation measures, the same ones each time.

    At most `at_most`, and as many as cost a fifth of the run in all `evaluations`, but not fewer
    than 20; chosen by their content's hash.
    """
    ordered = sorted(held_out, key=lambda row: (row.hash, row.ids))[:at_most]
    tokens_left = EVALUATION_SHARE * train_tokens / FORWARD_SHARE / max(1, evaluations)
    chosen: list[TokenRow] = []
    for row in ordered:
        tokens_left -= len(row.ids)
        if tokens_left < 0 and len(chosen) >= FEWEST_ROWS:
            break
        chosen.append(row)
    return tuple(chosen)
