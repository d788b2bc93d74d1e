"""The vocabulary of news: what long work reports. Plain frozen values, one JSON object each."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Level = Literal["info", "warning", "error"]
Outcome = Literal["done", "stopped", "failed"]


@dataclass(frozen=True)
class Started:
    """The job began; `spec` is its specification with every default resolved."""

    spec: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A named step of the pipeline began (render, train, export, score, publish, prove)."""

    name: str


@dataclass(frozen=True)
class Progress:
    """One step of the current stage. Rates per second of wall time, memory in bytes."""

    step: int
    steps: int
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_s: float | None = None
    memory_bytes: int | None = None
    remaining_s: float | None = None
    bytes_per_s: float | None = None
    pages_per_s: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """Held-out rows were measured at `step`; the loss is in nats a learnt token."""

    step: int
    held_out_loss: float
    score: float | None = None


@dataclass(frozen=True)
class Sample:
    """A prompt and what the model wrote for it at `step`."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint stands at `path`."""

    step: int
    path: str
    sha256: str


@dataclass(frozen=True)
class Note:
    """A sentence for the person: a fallback, a retry, something skipped."""

    level: Level
    text: str


@dataclass(frozen=True)
class Failed:
    """The job ended by a known failure, in the words of `UserError`."""

    title: str
    detail: str
    hint: str


@dataclass(frozen=True)
class Finished:
    """The last event of every job."""

    outcome: Outcome


Event = (
    Started | Stage | Progress | Evaluated | Sample | Checkpoint | Note | Failed | Finished
)
Report = Callable[[Event], None]
ShouldStop = Callable[[], bool]

_KINDS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind
    for kind in (
        Started, Stage, Progress, Evaluated, Sample, Checkpoint, Note, Failed, Finished
    )
}


def kind_of(event: Event) -> str:
    """The event's name in the journal: its class name in lower case."""
    return type(event).__name__.lower()


def to_payload(event: Event) -> dict[str, Any]:
    """The event's fields as a JSON-ready dictionary."""
    return asdict(event)


def from_payload(kind: str, payload: dict[str, Any]) -> Event | None:
    """The event of a journal line, or None for a kind that this version does not know.

    Unknown fields (a newer writer) are ignored. Raises TypeError if a required field is missing.
    """
    known = _KINDS.get(kind)
    if known is None:
        return None
    names = {field.name for field in fields(known)}
    return known(**{key: value for key, value in payload.items() if key in names})
