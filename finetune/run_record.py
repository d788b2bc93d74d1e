"""What a run has done so far, apart from its tensors: counters, losses, evaluations, durations.

Plain numbers, kept as JSON in every checkpoint. Torch-free.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

RATE_OF_LAST = 10


@dataclass(frozen=True)
class Evaluation:
    """Held-out rows measured after `step`: nats a learnt token, share of rows exactly right."""

    step: int
    loss: float
    exact: float


@dataclass
class RunRecord:
    """steps: how many are planned. seconds: wall time of all parts of the run. durations: seconds
    and tokens of the last steps, for the rate. Losses in nats a learnt token.
    """

    steps: int
    done: int = 0
    tokens: int = 0
    learnt_tokens: int = 0
    seconds: float = 0.0
    first_loss: float | None = None
    last_loss: float | None = None
    is_schedule_fixed: bool = False
    evaluation_seconds: float = 0.0
    durations: list[tuple[float, int]] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    def count(self, loss: float | None, tokens: int, learnt_tokens: int) -> None:
        """One more step is done; loss None: nothing was left in it to learn."""
        self.done += 1
        self.tokens += tokens
        self.learnt_tokens += learnt_tokens
        if loss is not None:
            self.first_loss = loss if self.first_loss is None else self.first_loss
            self.last_loss = loss

    def add_duration(self, seconds: float, tokens: int) -> None:
        """Remember how long a step took; only the last ones decide the rate."""
        self.durations = [*self.durations, (seconds, tokens)][-RATE_OF_LAST:]

    @property
    def step_seconds(self) -> float | None:
        """Mean of the last steps, None before any was measured."""
        if not self.durations:
            return None
        return sum(seconds for seconds, _ in self.durations) / len(self.durations)

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second of the last steps."""
        if not self.durations:
            return None
        seconds = sum(seconds for seconds, _ in self.durations)
        return sum(tokens for _, tokens in self.durations) / seconds

    @property
    def is_evaluated(self) -> bool:
        """Whether held-out rows were measured after the last step."""
        return bool(self.evaluations) and self.evaluations[-1].step == self.done

    @property
    def best(self) -> Evaluation | None:
        """The lowest held-out loss of a trained adapter, the earliest one of equals."""
        trained = [evaluation for evaluation in self.evaluations if evaluation.step]
        return min(trained, key=lambda evaluation: evaluation.loss, default=None)

    @property
    def without_improvement(self) -> int:
        """How many evaluations there were since the best one."""
        best = self.best
        return sum(best is not None and found.step > best.step for found in self.evaluations)

    def as_json(self) -> dict[str, Any]:
        """The shape of `record` in a checkpoint's state.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `as_json`. Raises TypeError for fields that are missing or unknown."""
        durations = [(float(seconds), int(tokens)) for seconds, tokens in value["durations"]]
        evaluations = [Evaluation(**found) for found in value["evaluations"]]
        return cls(**{**value, "durations": durations, "evaluations": evaluations})
