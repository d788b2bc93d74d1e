"""The gate of an exported file: everything that can be proven without a server."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from converters.durable_files import STAGED_SUFFIX, write_json
from converters.errors import UserError
from converters.events import Stage
from converters.expand import expand_to_f32
from converters.gguf.reader import GgufFile
from desktop.core.records import read_record
from desktop.engine.child import EngineChild
from desktop.jobs.folder import JobFolder
from desktop.jobs.parity import Engines, RowFigures, collect, rows_to_compare
from desktop.jobs.scoring import Ask
from desktop.jobs.steps.change import FileChange, file_change
from desktop.jobs.steps.prepare_text import READING, ReadingFile, token_rows_of
from desktop.jobs.steps.score_base import room_for
from desktop.jobs.steps.train import parameters_of
from desktop.jobs.work import Work
from desktop.proof.delta import ScoredPair, judge_delta
from desktop.proof.logits import ServedRow, judge_logits
from desktop.proof.report import Proof
from finetune.data.segments import TokenRow

ADAPTER_GGUF, GATE = "adapter.gguf", "gate.json"
EXPANDED_BELOW_PARAMETERS = 500_000_000


@dataclass(frozen=True)
class Gate:
    """The collected figures of one file."""

    rows: list[RowFigures]
    change: FileChange
    task: str
    method: str

    def logits(self, served: list[ServedRow] | None) -> Proof:
        """The proof "logits"; `served` is None without a server."""
        return judge_logits([row.divergence for row in self.rows], self.method, served)

    def delta(self) -> Proof:
        """The proof "delta"."""
        is_text = self.task == "text"
        pairs = [
            ScoredPair(
                reference=row.reference.nats / row.reference.tokens if is_text
                else row.reference.exact,
                exported=row.exported.nats / row.exported.tokens if is_text
                else row.exported.exact,
            )
            for row in self.rows
        ]
        change = self.change
        return judge_delta(
            change.changes, change.missing, change.differing, change.identical, pairs,
            lower_is_better=is_text,
        )

    @property
    def passes(self) -> bool:
        """Whether no proof of the gate failed."""
        return "failed" not in (self.logits(None).status, self.delta().status)


def write_gate(folder: JobFolder, gate: Gate) -> None:
    """Write `gate.json`, from which a later run goes on without comparing again."""
    write_json(folder.artefact(GATE), TypeAdapter(Gate).dump_python(gate))


def read_gate(folder: JobFolder) -> Gate:
    """Read `gate.json`. Raises UserError if it is damaged."""
    try:
        return TypeAdapter(Gate).validate_python(json.loads(folder.artefact(GATE).read_bytes()))
    except (OSError, ValueError) as error:
        raise UserError(
            "The job's file gate.json cannot be used.", str(error).splitlines()[0],
            "Resume the job: the export is compared again.",
        ) from error


def examine(work: Work, gguf: Path) -> Gate:
    """Compare the file with what was trained, on held-out rows and tensor by tensor."""
    from finetune.device import best_device  # torch: only in the worker's process
    from finetune.trained import open_trained

    work.report(Stage("compare"))
    rows = rows_to_compare(token_rows_of(work, "held_out"))
    reading = read_record(work.folder.artefact(READING), ReadingFile)
    base_path = work.job.base.path
    with ExitStack() as stack:
        trained = stack.enter_context(
            open_trained(base_path, work.folder.adapter, best_device())
        )
        engines = Engines(
            base=stack.enter_context(_asks(work, rows, base_path)),
            adapter=stack.enter_context(
                _asks(work, rows, base_path, work.folder.artefact(ADAPTER_GGUF))
            ),
            file=stack.enter_context(_asks(work, rows, gguf)),
            expansion=stack.enter_context(_expanded(work, rows, gguf)),
            torch_base=lambda ids, start: trained.log_probs(ids, start, tuned=False),
            torch_tuned=lambda ids, start: trained.log_probs(ids, start, tuned=True),
        )
        figures = collect(rows, engines, work.report, work.should_stop)
        with GgufFile(base_path) as base, GgufFile(gguf) as file:
            change = file_change(base, file, trained.deltas(), work.should_stop)
    return Gate(figures, change, reading.task, work.job.tune.method)


@contextmanager
def _asks(
    work: Work, rows: list[TokenRow], path: Path, lora: Path | None = None
) -> Iterator[Ask]:
    room = room_for(rows)
    with EngineChild(path, lora=lora, n_ctx=room, log=work.engine_log) as child:
        yield child.log_probs_async


@contextmanager
def _expanded(work: Work, rows: list[TokenRow], gguf: Path) -> Iterator[Ask | None]:
    """The file's F32 expansion, which torch must equal; for small models only, and not kept."""
    if parameters_of(work) >= EXPANDED_BELOW_PARAMETERS:
        yield None
        return
    expansion = work.folder.artefact(f"expanded{STAGED_SUFFIX}")  # a killed run's is removed
    try:
        expand_to_f32(gguf, expansion, work.should_stop)
        with _asks(work, rows, expansion) as ask:
            yield ask
    finally:
        expansion.unlink(missing_ok=True)
