"""Step "export" and the gate loop: export, compare with what was trained, next larger type."""

from converters.adapter import read_adapter, write_gguf_adapter
from converters.durable_files import write_json
from converters.events import Note, Stage
from converters.export import Exported, ExportPlan, export
from converters.gguf.header import ValueType
from converters.gguf.writer import Field, encode_field
from desktop.jobs.steps.gate import ADAPTER_GGUF, Gate, examine, write_gate
from desktop.jobs.work import Work
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.templates import template_plan

EXPORT = "export.json"
JINJA_KEY = "tokenizer.chat_template"


def export_step(work: Work, inheritance: Inheritance) -> None:
    """Write `model.gguf`, the adapter as a GGUF, `export.json` and the last file's `gate.json`.

    With the type `auto` a file that fails the gate is written again in the next larger types, and
    that is said; if the largest fails too, the last file stands with its failed figures.
    """
    adapter = read_adapter(work.folder.adapter, work.base)
    write_gguf_adapter(work.folder.artefact(ADAPTER_GGUF), adapter, work.base)
    level = 0
    while True:
        exported = _export(work, level, template_fields(inheritance))
        with work.timed("compare"):
            gate = examine(work, exported.gguf)
        if gate.passes or not exported.next_level_exists:
            write_json(work.folder.artefact(EXPORT), exported.as_json())
            write_gate(work.folder, gate)
            return
        work.report(Note("warning", (
            f"The file failed its comparison ({_first_failure(gate)}); it is written again in the "
            "next larger types."
        )))
        level += 1


def summary_of(exported: Exported) -> str:
    """What was written, in one sentence."""
    if not exported.touched:
        return f"The adapter changes nothing: all {exported.identical} tensors are the base's."
    kinds = ", ".join(f"{count} as {name}" for name, count in exported.requantised.items())
    return (
        f"{exported.touched} tensors were written anew ({kinds}), {exported.identical} are "
        f"identical to the base's; {exported.retention.retained:.1%} of the change is in the file."
    )


def template_fields(inheritance: Inheritance) -> tuple[Field, ...]:
    """The metadata that keep the file's own chat template in force."""
    jinja = template_plan(inheritance).jinja
    return (encode_field(JINJA_KEY, ValueType.STRING, jinja),) if jinja else ()


def _export(work: Work, level: int, fields: tuple[Field, ...]) -> Exported:
    work.report(Stage("export"))
    plan = ExportPlan(
        base=work.job.base.path, adapter=work.folder.adapter, output=work.folder.gguf,
        type=work.job.tune.export_type, level=level, seed=work.job.tune.seed, fields=fields,
    )
    exported = export(plan, work.report, work.should_stop)
    work.report(Note("info", summary_of(exported)))
    return exported


def _first_failure(gate: Gate) -> str:
    failed = [proof for proof in (gate.logits(None), gate.delta()) if proof.status == "failed"]
    return failed[0].detail.split(";")[0]
