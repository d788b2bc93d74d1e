"""The training loop, top to bottom: load, adapt, step, measure, stop, save.

AdamW over the adapter, warm-up and cosine, clipped gradients, packs within a token budget. Knows
no job folder and no server; news goes to `report`.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path

import torch

from converters.errors import Stopped, UserError
from converters.events import Evaluated, Note, Progress, Report, ShouldStop
from finetune.base_model import LlamaForCausalLM, load_base
from finetune.data.packing import Pack, endless_steps, steps_of_epoch
from finetune.data.segments import TokenRow
from finetune.forward import HeldOut, measure, pack_loss
from finetune.freed_memory import freed_memory_kept
from finetune.memory_use import memory_bytes
from finetune.methods.lora import PeftModel, add_adapter, save_adapter
from finetune.schedule import (
    MEASURED_STEPS,
    UNMEASURED_STEPS,
    evaluation_steps,
    learning_rate,
    rows_to_evaluate,
    steps_for_time,
)
from finetune.spec import TrainSpec

RATE_OF_LAST = 10


@dataclass(frozen=True)
class TrainResult:
    """What a run did. Losses in nats a learnt token, of one step (first, last) or of the held-out
    rows (None without any); exact shares as in `forward.HeldOut`.
    """

    steps: int
    planned_steps: int
    stopped: bool
    tokens: int
    learnt_tokens: int
    seconds: float
    first_loss: float
    last_loss: float
    held_out_rows: int
    held_out_before: float | None
    held_out_after: float | None
    exact_before: float | None
    exact_after: float | None
    adapter: Path


class LossNotFinite(UserError):
    """The loss or its gradient became NaN or infinite; the adapter of the step before was kept."""


def run(
    spec: TrainSpec,
    rows: Sequence[TokenRow],
    held_out: Sequence[TokenRow],
    adapter_folder: Path,
    report: Report,
    should_stop: ShouldStop,
) -> TrainResult:
    """Train an adapter on `rows` and save it in `adapter_folder`.

    Asked to stop (`should_stop`, or Ctrl-C), it ends within one pass through the model and saves
    what is trained so far. Raises LossNotFinite with the rows of the step named, after saving the
    last adapter whose loss was finite; UserError for a base or rows that cannot be trained.
    """
    if not rows:
        hint = "Look at the reasons with `tunedesk inspect`."
        raise UserError("There is nothing to train.", "No row with an answer is left.", hint)
    started = time.monotonic()
    model = load_base(spec.base_path, form=spec.form, device=spec.device)
    adapted = add_adapter(
        model, rank=spec.rank, alpha=spec.alpha, seed=spec.seed, base_name=spec.base_path.name
    )
    loop = _Loop(spec, model, adapted, rows, held_out, report, should_stop, started)
    stopped = False
    try:
        with freed_memory_kept():
            loop.train()
    except (Stopped, KeyboardInterrupt):
        stopped = True
    except _NotFinite as found:
        loop.restore()
        save_adapter(adapted, adapter_folder)
        raise _explained(found, spec, adapter_folder) from None
    save_adapter(adapted, adapter_folder)
    return loop.result(stopped, adapter_folder)


class _NotFinite(Exception):
    """Carries the step and the rows that made it."""

    def __init__(self, step: int, packs: Sequence[Pack], what: str) -> None:
        super().__init__(what)
        self.step = step
        self.what = what
        self.rows = sorted(row.number for content in packs for row in content.rows)


@dataclass
class _Loop:
    """The state of one run."""

    spec: TrainSpec
    model: LlamaForCausalLM
    adapted: PeftModel
    rows: Sequence[TokenRow]
    held_out: Sequence[TokenRow]
    report: Report
    should_stop: ShouldStop
    started: float
    done: int = 0
    steps: int = 0
    tokens: int = 0
    learnt_tokens: int = 0
    losses: list[float] = field(default_factory=list)
    measured: list[HeldOut] = field(default_factory=list)
    evaluation_seconds: float = 0.0
    last_packs: Sequence[Pack] = ()
    durations: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_OF_LAST))

    def __post_init__(self) -> None:
        self.parameters = [part for part in self.adapted.parameters() if part.requires_grad]
        self.kept = [part.detach().clone() for part in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=0.0, fused=True)
        budget, per_step, seed = self._packing()
        self.epoch_steps = len(steps_of_epoch(self.rows, budget, per_step, seed))
        self.steps = max(1, round(self.spec.epochs * self.epoch_steps))
        self.evaluated = self._rows_to_evaluate()

    def train(self) -> None:
        """Every step of the run. Raises Stopped or _NotFinite; the adapter is then as it was."""
        self.adapted.train()
        self._evaluate()
        for packs in self._batches():
            self._step(packs)
            if self.spec.max_seconds and self.done == UNMEASURED_STEPS + MEASURED_STEPS:
                self._fix_schedule(self.spec.max_seconds)
            if self.done in evaluation_steps(self.steps, self.spec.evaluations):
                self._evaluate()
            if self.done >= self.steps:
                break
        self._evaluate()

    def restore(self) -> None:
        """Put the last adapter with a finite loss back."""
        with torch.no_grad():
            for part, kept in zip(self.parameters, self.kept, strict=True):
                part.copy_(kept)

    def result(self, stopped: bool, adapter: Path) -> TrainResult:
        """The figures of the run so far."""
        before = self.measured[0] if self.measured else None
        after = self.measured[-1] if len(self.measured) > 1 and not stopped else None
        return TrainResult(
            steps=self.done,
            planned_steps=self.steps,
            stopped=stopped,
            tokens=self.tokens,
            learnt_tokens=self.learnt_tokens,
            seconds=time.monotonic() - self.started,
            first_loss=self.losses[0] if self.losses else nan,
            last_loss=self.losses[-1] if self.losses else nan,
            held_out_rows=len(self.evaluated),
            held_out_before=before.loss if before else None,
            held_out_after=after.loss if after else None,
            exact_before=before.exact if before else None,
            exact_after=after.exact if after else None,
            adapter=adapter,
        )

    def _packing(self) -> tuple[int, int, int]:
        return self.spec.tokens_per_pass, self.spec.tokens_per_step, self.spec.seed

    def _batches(self) -> Iterator[tuple[Pack, ...]]:
        return endless_steps(self.rows, *self._packing())

    def _rows_to_evaluate(self) -> tuple[TokenRow, ...]:
        epochs = 1.5 if self.spec.max_seconds else self.spec.epochs
        tokens = epochs * sum(len(row.ids) for row in self.rows)
        evaluations = self.spec.evaluations + 2
        return rows_to_evaluate(self.held_out, self.spec.evaluation_rows, evaluations, tokens)

    def _step(self, packs: Sequence[Pack]) -> None:
        began = time.monotonic()
        rate = learning_rate(self.done, self.steps, self.spec.learning_rate)
        loss = self._backward(packs)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.spec.clip))
        if not isfinite(norm):
            raise _NotFinite(self.done + 1, packs, "gradient")
        self._keep()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.last_packs = packs
        self._count(packs, loss, time.monotonic() - began)
        self._report_progress(loss, rate)

    def _backward(self, packs: Sequence[Pack]) -> float:
        """Accumulate the gradient of the mean over the step's learnt tokens; return that mean."""
        self.optimizer.zero_grad(set_to_none=True)
        learnt = sum(content.learnt_tokens for content in packs)
        total = 0.0
        for content in packs:
            if self.should_stop():
                raise Stopped
            loss = pack_loss(self.model, content) / learnt
            total += loss.item()
            if not isfinite(total):
                raise _NotFinite(self.done + 1, packs, "loss")
            loss.backward()
        return total

    def _keep(self) -> None:
        # These weights gave a finite loss and gradient; the next ones have to show it first.
        with torch.no_grad():
            for part, kept in zip(self.parameters, self.kept, strict=True):
                kept.copy_(part)

    def _count(self, packs: Sequence[Pack], loss: float, seconds: float) -> None:
        tokens = sum(content.tokens for content in packs)
        self.done += 1
        self.tokens += tokens
        self.learnt_tokens += sum(content.learnt_tokens for content in packs)
        self.losses.append(loss)
        if self.done > UNMEASURED_STEPS:
            self.durations.append((seconds, tokens))

    def _step_seconds(self) -> float | None:
        if not self.durations:
            return None
        return sum(seconds for seconds, _ in self.durations) / len(self.durations)

    def _report_progress(self, loss: float, rate: float) -> None:
        step_seconds = self._step_seconds()
        remaining = tokens_per_s = None
        if step_seconds is not None:
            steps_left = range(self.done + 1, self.steps + 1)
            due = evaluation_steps(self.steps, self.spec.evaluations) & set(steps_left)
            evaluations = self.evaluation_seconds * (len(due) + 1)
            remaining = step_seconds * len(steps_left) + evaluations
            tokens = sum(count for _, count in self.durations)
            tokens_per_s = tokens / (step_seconds * len(self.durations))
        memory = memory_bytes(self.spec.device)
        self.report(
            Progress(self.done, self.steps, loss, rate, tokens_per_s, memory, remaining)
        )

    def _fix_schedule(self, max_seconds: float) -> None:
        step_seconds = self._step_seconds()
        assert step_seconds is not None
        evaluations = self.evaluation_seconds * (self.spec.evaluations + 1)
        left = max_seconds - (time.monotonic() - self.started) - evaluations
        self.steps = steps_for_time(self.epoch_steps, self.done, step_seconds, left)
        epochs = self.steps / self.epoch_steps
        text = f"One step takes {step_seconds:.1f} s: {self.steps} steps ({epochs:.1f} epochs)."
        self.report(Note("info", text))

    def _evaluate(self) -> None:
        if not self.evaluated:
            return
        began = time.monotonic()
        found = measure(self.model, self.evaluated, self.should_stop)
        self.evaluation_seconds = time.monotonic() - began
        if not isfinite(found.loss):
            raise _NotFinite(self.done, self.last_packs, "held-out loss")
        self.measured.append(found)
        self.report(Evaluated(self.done, found.loss, found.exact))


def _explained(found: _NotFinite, spec: TrainSpec, adapter: Path) -> LossNotFinite:
    kept = f"the adapter of step {max(0, found.step - 2)} was kept in {adapter}"
    shown = ", ".join(str(number) for number in found.rows)
    return LossNotFinite(
        f"The {found.what} was no finite number at step {found.step}.",
        f"The step held the rows {shown} at a learning rate of {spec.learning_rate:g}; {kept}.",
        "Lower the learning rate, or look at these rows and take the bad one out.",
    )
