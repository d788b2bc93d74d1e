"""The pure reducer: events -> JobView. Plot, command line and tests read the same view."""

from dataclasses import dataclass, replace
from typing import Literal

from converters.events import (
    Checkpoint,
    Evaluated,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    Sample,
    Stage,
    Started,
)

COUNTED_STEPS = 100_000
STAGE_TEXTS = {
    "queue": "wait for the job before it",
    "render": "prepare the rows",
    "export": "write the model",
    "compare": "compare the file with the training",
    "publish": "hand it over",
    "prove": "ask the created model",
    "index": "look for documents",
}
Status = Literal["queued", "running", "stopping", "stopped", "interrupted", "failed", "done"]


@dataclass(frozen=True)
class JobView:
    """What a person sees of a job. Points are (step, value); loss in nats a learnt token."""

    status: Status = "queued"
    stage: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    tokens_per_s: float | None = None
    bytes_per_s: float | None = None
    pages_per_s: float | None = None
    remaining_s: float | None = None
    memory_bytes: int | None = None
    losses: tuple[tuple[int, float], ...] = ()
    held_out: tuple[tuple[int, float], ...] = ()
    samples: tuple[tuple[int, str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    checkpoint_step: int | None = None
    failure: tuple[str, str, str] | None = None


def reduce(view: JobView, event: Event) -> JobView:
    """The view after one more event."""
    match event:
        case Started():
            return replace(view, status="running", failure=None)
        case Stage(name):
            return replace(
                view, stage=name, step=0, steps=0, loss=None, remaining_s=None, tokens_per_s=None,
                bytes_per_s=None, pages_per_s=None, memory_bytes=None,
            )
        case Progress():
            return _progressed(view, event)
        case Evaluated(step, held_out_loss):
            return replace(view, held_out=_continued(view.held_out, step, held_out_loss))
        case Sample(step, prompt, text):
            return replace(view, samples=(*view.samples, (step, prompt, text)))
        case Checkpoint(step):
            return replace(view, checkpoint_step=step)
        case Note(level, text):
            return replace(view, notes=(*view.notes, (level, text)))
        case Failed(title, detail, hint):
            return replace(view, failure=(title, detail, hint))
        case Finished(outcome):
            return replace(view, status=outcome, remaining_s=None)


def _progressed(view: JobView, event: Progress) -> JobView:
    losses = view.losses
    if event.loss is not None:
        losses = _continued(losses, event.step, event.loss)
    return replace(
        view, step=event.step, steps=event.steps, loss=event.loss, losses=losses,
        tokens_per_s=event.tokens_per_s, bytes_per_s=event.bytes_per_s,
        pages_per_s=event.pages_per_s,
        remaining_s=event.remaining_s, memory_bytes=event.memory_bytes,
    )


def _continued(
    points: tuple[tuple[int, float], ...], step: int, value: float
) -> tuple[tuple[int, float], ...]:
    """The curve with one more point. A resumed run repeats the steps after its checkpoint: the
    points that it makes anew take the place of those from before."""
    while points and points[-1][0] >= step:
        points = points[:-1]
    return (*points, (step, value))


def line_of(view: JobView) -> str:
    """One line for a terminal: stage, step, loss, rate, remaining time, as far as known."""
    parts = [STAGE_TEXTS.get(view.stage, view.stage) or view.status]
    if view.pages_per_s is not None:
        parts = [f"{view.step:,} of {view.steps:,} pages indexed"]
    elif view.steps > COUNTED_STEPS:  # bytes
        parts.append(f"{view.step / view.steps:.0%}")
    elif view.steps:
        parts.append(f"{view.step}/{view.steps}")
    if view.loss is not None:
        parts.append(f"loss {view.loss:.3f}")
    if view.tokens_per_s:
        parts.append(f"{view.tokens_per_s:,.0f} tokens/s")
    if view.bytes_per_s is not None:
        parts.append(f"{view.bytes_per_s / 1e6:,.1f} MB/s")
    if view.pages_per_s is not None:
        parts.append(f"{view.pages_per_s:,.0f} pages/s")
    if view.remaining_s is not None:
        parts.append(f"{duration(view.remaining_s)} left")
    if view.memory_bytes:
        parts.append(f"{view.memory_bytes / 1e9:.1f} GB")
    return "  ".join(parts)


def where(view: JobView) -> str:
    """The place a job has reached, for a sentence: `step 7 of 75 (train)`."""
    stage = STAGE_TEXTS.get(view.stage, view.stage)
    if view.steps and view.steps <= COUNTED_STEPS:
        return f"step {view.step} of {view.steps} ({stage})"
    return f'"{stage}"' if stage else "its start"


def duration(seconds: float) -> str:
    """Seconds in words: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
