"""The steps of a run: pass, accumulate, clip, update, measure, report; and when they end.

Each step starts at a step boundary and either reaches the next one or leaves the state as it was.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from math import isfinite

import torch

from converters.errors import Stopped
from converters.events import Evaluated, Note, Progress, Report, ShouldStop
from finetune.base_model import LlamaForCausalLM
from finetune.checkpoint_keeper import CheckpointKeeper
from finetune.data.packing import Pack, endless_steps, pack
from finetune.data.segments import TokenRow
from finetune.forward import EVALUATION_TOKENS, measure, pack_loss
from finetune.memory_use import memory_bytes
from finetune.relief import relieved
from finetune.run_record import Evaluation, RunRecord
from finetune.schedule import (
    MEASURED_STEPS,
    UNMEASURED_STEPS,
    evaluation_steps,
    learning_rate,
    steps_for_time,
)
from finetune.spec import TrainSpec
from finetune.training_state import TrainingState

Seconds = Callable[[], float]


class NotFinite(Exception):
    """A loss or gradient is NaN or infinite; carries the step and the rows that made it."""

    def __init__(self, step: int, packs: Sequence[Pack], what: str) -> None:
        super().__init__(what)
        self.step = step
        self.what = what
        self.rows = sorted(row.number for content in packs for row in content.rows)


class TrainingLoop:
    """One process's part of a run: from the boundary that `record` tells of to the end."""

    def __init__(
        self,
        spec: TrainSpec,
        model: LlamaForCausalLM,
        state: TrainingState,
        record: RunRecord,
        epoch_steps: int,
        keeper: CheckpointKeeper,
        report: Report,
        should_stop: ShouldStop,
    ) -> None:
        self.spec = spec
        self.model = model
        self.state = state
        self.record = record
        self.epoch_steps = epoch_steps
        self.keeper = keeper
        self.report = report
        self.should_stop = should_stop
        self.last_packs: Sequence[Pack] = ()
        # What went through the model last, for the words about memory that ran out.
        self.at_work: Sequence[Pack] = ()
        self.is_measuring = False
        self.steps_here = 0

    def train(
        self, rows: Sequence[TokenRow], evaluated: Sequence[TokenRow], seconds: Seconds
    ) -> None:
        """Every step that is left. Raises Stopped or NotFinite; the adapter is then as it was
        after the last whole step, or can be put back.
        """
        steps = self._steps(rows)
        self.state.adapted.train()
        self._after_step(evaluated, seconds)
        while not self._is_over():
            self._step(next(steps))
            self._after_step(evaluated, seconds)
        self.keeper.save()

    def _steps(self, rows: Sequence[TokenRow]) -> Iterator[tuple[Pack, ...]]:
        """From the next step on; the rows of the last one are remembered (FAULTS F37)."""
        done, spec = self.record.done, self.spec
        epoch, index = divmod(max(0, done - 1), self.epoch_steps)
        steps = endless_steps(
            rows, spec.tokens_per_pass, spec.tokens_per_step, spec.seed, epoch=epoch, index=index
        )
        if done:
            self.last_packs = next(steps)
        return steps

    def _is_over(self) -> bool:
        patience = self.spec.patience
        is_patient = patience is None or self.record.without_improvement < patience
        return self.record.done >= self.record.steps or not is_patient

    def _after_step(self, evaluated: Sequence[TokenRow], seconds: Seconds) -> None:
        record = self.record
        if self._is_schedule_due():
            self._fix_schedule(seconds)
        if record.done >= record.steps:
            # A long last measurement that is cut off must not cost the steps before it.
            self.keeper.save_if_due()
        if evaluated and self._is_evaluation_due() and not record.is_evaluated:
            self._evaluate(evaluated)
        self.keeper.save_if_due()

    def _is_schedule_due(self) -> bool:
        is_measured = self.record.done >= UNMEASURED_STEPS + MEASURED_STEPS
        return bool(self.spec.max_seconds) and is_measured and not self.record.is_schedule_fixed

    def _is_evaluation_due(self) -> bool:
        record = self.record
        between = evaluation_steps(record.steps, self.spec.evaluations)
        return record.done in {0, record.steps} | between

    def _step(self, packs: Sequence[Pack]) -> None:
        began = time.monotonic()
        rate = learning_rate(self.record.done, self.record.steps, self.spec.learning_rate)
        packs = self.at_work = relieved(packs, self.spec.relief)
        loss = self._update(packs, rate) if packs else None
        tokens = sum(content.tokens for content in packs)
        self.record.count(loss, tokens, sum(content.learnt_tokens for content in packs))
        self.state.mark_boundary()
        self.last_packs = packs
        self._add_duration(time.monotonic() - began, tokens)
        self._report_progress(loss, rate)

    def _update(self, packs: Sequence[Pack], rate: float) -> float:
        loss = self._backward(packs)
        norm = float(torch.nn.utils.clip_grad_norm_(self.state.parameters, self.spec.clip))
        if not isfinite(norm):
            raise NotFinite(self.record.done + 1, packs, "gradient")
        self.state.update(rate)
        return loss

    def _backward(self, packs: Sequence[Pack]) -> float:
        """Accumulate the gradient of the mean over the step's learnt tokens; return that mean."""
        self.state.optimizer.zero_grad(set_to_none=True)
        learnt = sum(content.learnt_tokens for content in packs)
        total = 0.0
        for content in packs:
            if self.should_stop():
                raise Stopped
            loss = pack_loss(self.model, content) / learnt
            total += loss.item()
            if not isfinite(total):
                raise NotFinite(self.record.done + 1, packs, "loss")
            loss.backward()
        return total

    def _add_duration(self, seconds: float, tokens: int) -> None:
        # The first step of a process sets up kernels and threads: it tells nothing of the rest.
        self.steps_here += 1
        is_first_part = self.steps_here == self.record.done
        if self.steps_here > UNMEASURED_STEPS or not (is_first_part or self.record.durations):
            self.record.add_duration(seconds, tokens)

    def _report_progress(self, loss: float | None, rate: float) -> None:
        record, remaining = self.record, None
        if record.step_seconds is not None:
            left = range(record.done + 1, record.steps + 1)
            due = evaluation_steps(record.steps, self.spec.evaluations) & set(left)
            evaluations = record.evaluation_seconds * (len(due) + 1)
            remaining = record.step_seconds * len(left) + evaluations
        memory = memory_bytes(self.spec.device)
        self.report(
            Progress(
                record.done, record.steps, loss, rate, record.tokens_per_s, memory, remaining
            )
        )

    def _fix_schedule(self, seconds: Seconds) -> None:
        record = self.record
        assert record.step_seconds is not None
        assert self.spec.max_seconds is not None
        evaluations = record.evaluation_seconds * (self.spec.evaluations + 1)
        left = self.spec.max_seconds - seconds() - evaluations
        record.steps = steps_for_time(self.epoch_steps, record.done, record.step_seconds, left)
        record.is_schedule_fixed = True
        epochs = record.steps / self.epoch_steps
        text = f"One step takes {record.step_seconds:.1f} s: {record.steps} steps"
        self.report(Note("info", f"{text} ({epochs:.1f} epochs)."))

    def _evaluate(self, evaluated: Sequence[TokenRow]) -> None:
        began = time.monotonic()
        budget = max(1, EVALUATION_TOKENS // self.spec.relief.split)
        self.at_work, self.is_measuring = pack(evaluated, budget), True
        self.state.adapted.eval()
        try:
            found = measure(self.model, evaluated, self.should_stop, budget)
        finally:
            self.state.adapted.train()
        self.is_measuring = False
        self.record.evaluation_seconds = time.monotonic() - began
        if not isfinite(found.loss):
            raise NotFinite(self.record.done, self.last_packs, "held-out loss")
        self.record.evaluations.append(Evaluation(self.record.done, found.loss, found.exact))
        self.report(Evaluated(self.record.done, found.loss, found.exact))
