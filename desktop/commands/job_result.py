"""What a finished job has to say: the JSON of `tune`, and the same in words."""

from converters.errors import Stopped
from desktop.commands.context import STOPPED, Output
from desktop.core.records import read_record
from desktop.jobs.folder import JobFolder
from desktop.jobs.spec import kind_in
from desktop.jobs.steps.result import RESULT, SCORES, Scores, TuneResult


def output_of(folder: JobFolder, code: int) -> Output:
    """The output of a job that ended with the worker's exit code `code`.

    Raises Stopped, with what is kept and how to go on, if it was stopped.
    """
    if code == STOPPED:
        raise Stopped(stopped_text(folder))
    if kind_in(folder.spec) == "index":
        from desktop.commands.added import added_output

        return added_output(folder, code)
    result = read_record(folder.artefact(RESULT), TuneResult)
    return Output(result.model_dump(mode="json"), _text(result, folder), code)


def stopped_text(folder: JobFolder) -> str:
    """What a stopped job leaves, and on a second line how to go on."""
    kept = "Every page that was indexed is kept." if kind_in(folder.spec) == "index" else (
        f"What was finished is kept in {folder.artefacts}."
    )
    return (
        f"{kept}\n"
        f"Go on from there with: tunedesk jobs resume {folder.id}"
    )


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
