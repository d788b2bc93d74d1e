"""Base GGUF + adapter -> one finished GGUF, in one pass and with a few tensors in memory.

Untouched tensors are copied byte for byte; touched ones are merged, quantised by the export policy
(FACTS 1.8) and measured. Never a 16-bit file in between.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from converters.adapter import Adapter, read_adapter
from converters.ahead import computed_ahead, worker_threads
from converters.errors import UserError
from converters.events import Note, Progress, Report, ShouldStop
from converters.export_types import AskedType, decided_types, file_type, raised, refuse_own_type
from converters.exported import Exported, TensorOutcome
from converters.gguf.header import Header, TensorInfo, ValueType
from converters.gguf.reader import GgufFile
from converters.gguf.retention import Retention
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import (
    AUTO,
    SAME,
    accepts,
    candidates,
    has_next_level,
    parse_type,
)
from converters.gguf.writer import (
    FILE_TYPE_KEY,
    Field,
    TensorPlan,
    Written,
    canonical_fields,
    canonical_order,
    encode_field,
    planned_bytes,
    write_gguf,
)
from converters.output_room import check_room, estimated_size, require_folder, writing
from converters.peak_memory import peak_rss_bytes
from converters.requantise import Rewritten, Touched, rewrite, rewrite_same

__all__ = ["ExportPlan", "Exported", "TensorOutcome", "estimated_size", "export"]

_REPORT_EVERY_S = 0.25


@dataclass(frozen=True)
class ExportPlan:
    """What to export. adapter None: the base rewritten in canonical layout, all tensors identical.

    type: "auto", "same" or a type's name. level: 0 is the policy's choice, each further level the
    next larger type for every touched tensor (with "auto" only). seed: for "same". fields: extra
    or replacing metadata. output must not be the base.
    """

    base: Path
    adapter: Path | None
    output: Path
    type: str = AUTO
    level: int = 0
    seed: int = 0
    fields: tuple[Field, ...] = ()


def export(plan: ExportPlan, report: Report, should_stop: ShouldStop) -> Exported:
    """Write `plan.output`, which appears only when all of it is on disk.

    Raises UserError for a damaged base or adapter, an unknown or impossible type, a folder that
    is not there and a disk that is too small (checked before the first byte), Stopped within a
    second of the wish. Nothing of the output is left then, and an earlier file of its name stays
    as it was.
    """
    started = time.monotonic()
    parse_type(plan.type)
    with GgufFile(plan.base) as base:
        _check_paths(plan)
        adapter = read_adapter(plan.adapter, base.header) if plan.adapter else None
        work = _Pass(plan, base, _touched(base, adapter), report, should_stop)
        written, measured = work.run()
    return _exported(work, written, measured, time.monotonic() - started)


class _ChoiceFailed(Exception):  # noqa: N818 - a reason to choose again, never seen outside
    """A type that a sample of rows had accepted does not keep the change of the whole tensor."""

    def __init__(self, rewritten: Rewritten) -> None:
        super().__init__(rewritten.name)
        self.rewritten = rewritten


class _Pass:
    """One export under way: the types are decided first, since they stand in the header."""

    def __init__(
        self,
        plan: ExportPlan,
        base: GgufFile,
        touched: Sequence[Touched],
        report: Report,
        should_stop: ShouldStop,
    ) -> None:
        self.plan = plan
        self.base = base
        self.touched = touched
        self.types: dict[str, TensorType] = {}
        self._report = report
        self._should_stop = should_stop
        self._refused: dict[str, frozenset[TensorType]] = {}

    def run(self) -> tuple[Written, dict[str, Retention]]:
        """Decide, check the disk, write; again from the start where a choice turns out wrong."""
        if self.plan.adapter and not self.touched:
            self._report(Note("warning", "The adapter changes nothing: it was never trained."))
        while True:
            self._decide()
            try:
                return self._write()
            except _ChoiceFailed as failed:
                self._refuse(failed.rewritten)

    def _decide(self) -> None:
        undecided = [tensor for tensor in self.touched if tensor.name not in self.types]
        asked = AskedType(self.plan.type, self.plan.level, self._refused)
        self.types |= decided_types(undecided, asked, self._should_stop)
        refuse_own_type(self.plan.type, self.touched, self.types)

    def _refuse(self, rewritten: Rewritten) -> None:
        name = rewritten.name
        self._refused[name] = self._refused.get(name, frozenset()) | {rewritten.type}
        del self.types[name]
        kept, noise = rewritten.retention.retained, rewritten.retention.noise
        text = f"{name} keeps {kept:.2f} of its change at a noise of {noise:.1f} in "
        self._report(Note("info", f"{text}{rewritten.type.name}: the next larger type is taken."))

    def _write(self) -> tuple[Written, dict[str, Retention]]:
        measured: dict[str, Retention] = {}
        results = computed_ahead(
            self.touched, self._rewrite, self._should_stop, threads=worker_threads()
        )
        tensors = self._plans(_collected(results, measured))
        fields = self._fields()
        needed = planned_bytes(fields, tensors)
        check_room(self.plan.output, needed)
        progress = _ByteProgress(needed, self._report)
        try:
            with writing(self.plan.output, needed):
                written = write_gguf(
                    self.plan.output, fields, tensors, on_bytes=progress,
                    should_stop=self._should_stop,
                )  # fmt: skip
        finally:
            results.close()
        return written, measured

    def _rewrite(self, tensor: Touched, stopping: ShouldStop) -> Rewritten:
        if self.plan.type.lower() == SAME:
            rewritten = rewrite_same(tensor, self.plan.seed, stopping)
        else:
            rewritten = rewrite(tensor, self.types[tensor.name], stopping)
        self.base.forget(tensor.name)
        if self._has_alternative(tensor) and not accepts(rewritten.retention):
            raise _ChoiceFailed(rewritten)
        return rewritten

    def _has_alternative(self, tensor: Touched) -> bool:
        if self.plan.type.lower() != AUTO:
            return False
        return self.types[tensor.name] != candidates(tensor.base_type, tensor.row_length)[-1]

    def _plans(self, rewritten: Iterator[Rewritten]) -> list[TensorPlan]:
        names = {tensor.name for tensor in self.touched}
        copier = _Copier(self.base)
        return [
            TensorPlan(info.name, info.shape, self.types[info.name], lambda: next(rewritten).blocks)
            if info.name in names
            else TensorPlan(info.name, info.shape, info.type, partial(copier.data, info.name))
            for info in _in_order(self.base.header)
        ]

    def _fields(self) -> list[Field]:
        replaced = {field.key: field for field in self.plan.fields}
        new = file_type(self.base.header, self.types)
        if new is not None:
            replaced[FILE_TYPE_KEY] = encode_field(FILE_TYPE_KEY, ValueType.UINT32, new)
        return canonical_fields(self.base.header, replaced=replaced)


class _Copier:
    """Hands out untouched tensors and lets go of each when the next one is asked for."""

    def __init__(self, base: GgufFile) -> None:
        self._base = base
        self._last: str | None = None

    def data(self, name: str) -> memoryview:
        if self._last is not None:
            self._base.forget(self._last)
        self._last = name
        return self._base.tensor_bytes(name)


class _ByteProgress:
    """Turns the writer's count of bytes into a few progress events a second."""

    def __init__(self, total: int, report: Report) -> None:
        self._total = total
        self._report = report
        self._started = self._last = time.monotonic()

    def __call__(self, n_bytes: int) -> None:
        now = time.monotonic()
        if now - self._last < _REPORT_EVERY_S and n_bytes < self._total:
            return
        self._last = now
        remaining = (now - self._started) * (self._total - n_bytes) / max(n_bytes, 1)
        self._report(Progress(n_bytes, self._total, remaining_s=remaining))


def _check_paths(plan: ExportPlan) -> None:
    require_folder(plan.output)
    if plan.output.exists() and plan.output.samefile(plan.base):
        raise UserError(
            "The output would replace the base.",
            f"{plan.output} is the file that is read. Nothing was written.",
            "Choose another name for the output.",
        )


def _touched(base: GgufFile, adapter: Adapter | None) -> list[Touched]:
    """The touched tensors in the order in which they are written."""
    if adapter is None:
        return []
    return [
        Touched(info.name, info.type, base.blocks(info.name), adapter.tensors[info.name])
        for info in _in_order(base.header)
        if info.name in adapter.touched
    ]


def _in_order(header: Header) -> list[TensorInfo]:
    return [header.tensor(name) for name in canonical_order(t.name for t in header.tensors)]


def _collected(
    results: Iterator[Rewritten], into: dict[str, Retention]
) -> Iterator[Rewritten]:
    """Pass the results on and keep their figures, not their blocks."""
    for result in results:
        into[result.name] = result.retention
        yield result


def _exported(
    work: _Pass, written: Written, measured: Mapping[str, Retention], seconds: float
) -> Exported:
    outcomes = {
        tensor.name: TensorOutcome(
            tensor.base_type, work.types[tensor.name], measured[tensor.name]
        )
        for tensor in work.touched
    }
    return Exported(
        gguf=written.path,
        sha256=written.sha256,
        n_bytes=written.n_bytes,
        identical=len(work.base.header.tensors) - len(outcomes),
        raised=len(raised(work.plan.type, work.touched, work.types)),
        tensors=outcomes,
        seconds=seconds,
        peak_rss_bytes=peak_rss_bytes(),
        next_level_exists=work.plan.type.lower() == AUTO
        and any(has_next_level(o.base_type, o.type) for o in outcomes.values()),
    )
