"""`tunedesk tune`: model + data -> a tuned, proven model under its own name."""

import asyncio

from converters.errors import Stopped
from desktop.commands.context import STOPPED, Context, Output
from desktop.commands.live import LiveLine, print_note
from desktop.commands.options import takes_spec
from desktop.core.records import read_record
from desktop.jobs import launcher
from desktop.jobs.folder import JobFolder
from desktop.jobs.prepare import Prepared, prepare_tune
from desktop.jobs.steps.result import RESULT, SCORES, Scores, TuneResult
from desktop.serving.choice import choose
from finetune.spec import TuneSpec

EXAMPLES = 100


@takes_spec
def tune(context: Context, spec: TuneSpec) -> Output:
    """Tune a model on your own data and get it back, proven equal to what was trained."""
    return run_tune(context, spec, EXAMPLES)


def run_tune(context: Context, spec: TuneSpec, examples: int) -> Output:
    """Prepare the job, run it in the foreground, and say what came of it."""
    prepared = asyncio.run(_prepared(context, spec, examples))
    for note in prepared.notes:
        print_note(note)
    with LiveLine() as line:
        code = launcher.run(prepared.folder, "tune", line.show)
    if code == STOPPED:
        raise Stopped(_kept(prepared.folder, spec))
    result = read_record(prepared.folder.artefact(RESULT), TuneResult)
    return Output(result.model_dump(mode="json"), _text(result, prepared.folder), code)


def _kept(folder: JobFolder, spec: TuneSpec) -> str:
    """What a stopped job leaves, and on a second line what can be done with it."""
    text = f"What was finished is kept in {folder.artefacts}."
    if not folder.adapter.exists():
        return f"{text}\nStart again with the same command."
    return (
        f"{text}\nThe adapter of the last step can be used: tunedesk export --base {spec.model} "
        f"--adapter {folder.adapter} -o {folder.id}.gguf"
    )


async def _prepared(context: Context, spec: TuneSpec, examples: int) -> Prepared:
    chosen = await choose(context.home, context.host, context.engine)
    try:
        return await prepare_tune(context.home, chosen, spec, examples)
    finally:
        await chosen.serving.close()


def _text(result: TuneResult, folder: JobFolder) -> str:
    scores = read_record(folder.artefact(SCORES), Scores)
    return "\n".join([
        "Proofs", *(f"  {line}" for line in result.proof.lines()),
        *_score_lines(result, scores),
        f"Drift on ordinary text: KL {result.drift.kl:.3f} ({result.drift.texts} texts)",
        f"Size: {result.bytes.base / 1e6:.1f} MB -> {result.bytes.model / 1e6:.1f} MB",
        f"Job {result.job}; the file is {result.gguf}",
        _ending(result),
    ])


def _score_lines(result: TuneResult, scores: Scores) -> list[str]:
    score = result.score
    show = (lambda value: f"{value:.3f}") if score.metric == "loss" else (lambda v: f"{v:.0%}")
    few = "" if score.few_shot is None else f", with three examples {show(score.few_shot)}"
    lines = [
        f"Held-out {score.metric} ({score.rows} rows): before {show(score.before)}{few}, "
        f"after {show(score.after)}",
    ]
    before, after = scores.written_before, scores.written_after
    if before and after and after.macro_f1 is not None:
        lines.append(
            f"Written answers ({after.rows} rows): a known label {before.valid:.0%} -> "
            f"{after.valid:.0%}, macro F1 {before.macro_f1 or 0:.2f} -> {after.macro_f1:.2f}"
        )
    elif before and after:
        parts = ", ".join(
            f"{name} {before.fields.get(name, 0):.0%} -> {share:.0%}"
            for name, share in after.fields.items()
        )
        lines.append(
            f"Written answers ({after.rows} rows): valid {before.valid:.0%} -> {after.valid:.0%}, "
            f"{parts}"
        )
    return lines


def _ending(result: TuneResult) -> str:
    if result.proof.failed:
        return f"Not proven: the model stays {result.model}. See the failed proofs above."
    return f"Ready: ollama run {result.model}" if result.proof.text.status != "skipped" else (
        f"Ready: tunedesk chat {result.model} --once \"...\" --engine builtin"
    )

