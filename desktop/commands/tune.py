"""`tunedesk tune`: model + data -> a tuned, proven model under its own name."""

import asyncio
from typing import Annotated

import typer

from desktop.commands.context import Context, Output
from desktop.commands.job_result import output_of
from desktop.commands.live import LiveLine, print_note
from desktop.commands.options import takes_spec
from desktop.jobs import launcher
from desktop.jobs.folder import JobFolder
from desktop.jobs.prepare import Prepared, prepare_tune
from desktop.jobs.spec import read_job
from desktop.serving.choice import choose
from finetune.spec import TuneSpec

EXAMPLES = 100


@takes_spec
def tune(
    context: Context,
    spec: TuneSpec,
    detach: Annotated[bool, typer.Option(
        "--detach", help="Return at once; `tunedesk jobs` shows the job.")] = False,
) -> Output:
    """Tune a model on your own data and get it back, proven equal to what was trained."""
    if not detach:
        return run_tune(context, spec, EXAMPLES)
    folder = _prepare(context, spec, EXAMPLES)
    return start_detached(folder)


def run_tune(context: Context, spec: TuneSpec, examples: int) -> Output:
    """Prepare the job, run it in the foreground, and say what came of it."""
    return run_in_foreground(_prepare(context, spec, examples))


def run_in_foreground(folder: JobFolder) -> Output:
    """Run a job (or the rest of it) with its progress on standard error."""
    with LiveLine() as line:
        code = launcher.run(folder, read_job(folder.spec).kind, line.show)
    return output_of(folder, code)


def start_detached(folder: JobFolder) -> Output:
    """Start a job's worker and leave it alone. Raises UserError if it ends at once."""
    offset = folder.events.stat().st_size if folder.events.exists() else 0
    process = launcher.start(folder, read_job(folder.spec).kind)
    code = process.poll()
    if code is not None:
        launcher.follow(folder, lambda _: None, offset, poll=lambda: code)
    text = (
        f"The job {folder.id} runs on its own.\n"
        f"  tunedesk jobs follow {folder.id}\n  tunedesk jobs stop {folder.id}"
    )
    return Output({"job": folder.id}, text)


def _prepare(context: Context, spec: TuneSpec, examples: int) -> JobFolder:
    prepared = asyncio.run(_prepared(context, spec, examples))
    for note in prepared.notes:
        print_note(note)
    return prepared.folder


async def _prepared(context: Context, spec: TuneSpec, examples: int) -> Prepared:
    context.home.require_writable()
    chosen = await choose(context.home, context.host, context.engine)
    try:
        return await prepare_tune(context.home, chosen, spec, examples)
    finally:
        await chosen.serving.close()
