"""`tunedesk tune`: model + data -> a tuned, proven model under its own name."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.errors import Stopped
from desktop.commands.context import STOPPED, Context, Output
from desktop.commands.live import LiveLine, print_note
from desktop.core.records import read_record
from desktop.jobs import launcher
from desktop.jobs.folder import JobFolder
from desktop.jobs.prepare import Prepared, prepare_tune
from desktop.jobs.steps.result import RESULT, SCORES, Scores, TuneResult
from desktop.serving.choice import choose
from finetune.data.rows import parse_column_map
from finetune.spec import TuneSpec, parse, read_toml

EXAMPLES = 100


def tune(
    context: Context,
    spec: Annotated[Path | None, typer.Argument(help="A specification in TOML.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to tune.")] = None,
    data: Annotated[Path | None, typer.Option(help="Rows to train: JSONL, CSV or TSV.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the tuned model.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="Rows that are only measured.")] = None,
    map_: Annotated[str | None, typer.Option(
        "--map", metavar="prompt=COL,completion=COL", help="Columns of the data.")] = None,
    task: Annotated[str | None, typer.Option(help="auto, labels, json or text.")] = None,
    method: Annotated[str | None, typer.Option(help="qlora.")] = None,
    base: Annotated[str | None, typer.Option(help="Form of the base: blocks.")] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the adapter (16).")] = None,
    alpha: Annotated[float | None, typer.Option(help="Strength of the adapter (32).")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest row (2048).")] = None,
    too_long: Annotated[str | None, typer.Option(help="truncate, split or skip.")] = None,
    tokens_per_step: Annotated[int | None, typer.Option(help="Tokens of one step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices (0).")] = None,
    export_type: Annotated[str | None, typer.Option(
        help="auto, same, or one type for the touched tensors.")] = None,
    keep_general: Annotated[float | None, typer.Option(
        help="Weight of the guard against forgetting (0).")] = None,
    replace: Annotated[bool, typer.Option(help="Replace a model of this name.")] = False,
) -> Output:
    """Tune a model on your own data and get it back, proven equal to what was trained."""
    options = {
        "model": model, "data": data, "name": name, "held_out": held_out, "task": task,
        "method": method, "base": base, "rank": rank, "alpha": alpha, "epochs": epochs,
        "learning_rate": learning_rate, "max_tokens": max_tokens, "too_long": too_long,
        "tokens_per_step": tokens_per_step, "seed": seed, "export_type": export_type,
        "keep_general": keep_general, "columns": columns_of(map_), "replace": replace or None,
    }
    if spec is None and not (model and data and name):
        raise typer.BadParameter("Name a specification file, or --model, --data and --name.")
    return run_tune(context, resolved_spec(spec, options), EXAMPLES)


def resolved_spec(path: Path | None, options: dict[str, Any]) -> TuneSpec:
    """The specification of a file, of options, or of a file with options on top of it."""
    given = {key: value for key, value in options.items() if value is not None}
    if path is None:
        return parse(given)
    stated = read_toml(path).model_dump(exclude_unset=True)
    return parse(stated | given)


def columns_of(text: str | None) -> dict[str, str] | None:
    """The column map of `--map` as the specification holds it."""
    if text is None:
        return None
    columns = parse_column_map(text)
    return {"prompt": columns.prompt, "completion": columns.completion, "system": columns.system}


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

