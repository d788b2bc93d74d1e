"""`tunedesk jobs`: what runs, what ran, and how to go on with it.

What only some of these words need is imported in them: the list answers in a third of a second.
"""

from typing import Annotated, Any

import typer

from converters.errors import UserError
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.jobs import launcher, store
from desktop.jobs import stop as stopping
from desktop.jobs.accept import accept_offer, offer_text
from desktop.jobs.folder import JobFolder, is_job_id, open_job
from desktop.jobs.progress import duration
from desktop.jobs.store import JobLine, job_line, jobs_of

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job, as `tunedesk jobs` names it.")]
LAST = "last"


def list_jobs(context: Context) -> Output:
    """All jobs, newest first: status, step, remaining time."""
    lines = jobs_of(context.home.jobs)
    text = "\n".join(_line_text(line) for line in lines) if lines else "There are no jobs yet."
    return Output([line.as_json() for line in lines], text)


def show(context: Context, job: JobId) -> Output:
    """One job, its folder, and its result when it is finished."""
    folder = find_job(context, job)
    line = job_line(folder)
    shown: dict[str, Any] = line.as_json() | {"folder": str(folder.root)}
    texts = [_line_text(line), f"Folder: {folder.root}"]
    if line.status in ("done", "failed") and folder.artefact("result.json").exists():
        from desktop.commands.job_result import output_of

        output = output_of(folder, 0)
        shown |= output.value
        texts.append(output.text)
    else:
        texts += [*(line.failure or ())[:2], _next_step(folder, line)]
    return Output(shown, "\n".join(text for text in texts if text))


def follow(context: Context, job: JobId) -> Output:
    """Draw the job's progress until it ends; Ctrl-C only stops the drawing."""
    from desktop.commands.job_result import output_of

    folder = find_job(context, job)
    try:
        with LiveLine() as line:
            code = launcher.follow(folder, line.show)
    except KeyboardInterrupt:
        shown = job_line(folder)
        text = f"The job goes on. Look again: tunedesk jobs follow {folder.id}"
        return Output(shown.as_json(), text)
    return output_of(folder, code)


def stop(context: Context, job: JobId) -> Output:
    """Stop a job within a step; its last checkpoint is kept."""
    context.home.require_writable()
    folder = find_job(context, job)
    how = stopping.stop(folder, on_rung=context.say)
    line = job_line(folder)
    text = f"{folder.id}: {how}. {_next_step(folder, line)}"
    return Output(line.as_json() | {"how": how}, text)


def resume(
    context: Context,
    job: JobId,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    accept: Annotated[bool, typer.Option(
        "--accept", help="Accept what the job offered when the memory ran out.")] = False,
) -> Output:
    """Go on with a job exactly where it was; finished steps are kept."""
    from desktop.commands.tune import run_in_foreground, start_detached
    from desktop.jobs.resume import require_resumable

    context.home.require_writable()
    folder = find_job(context, job)
    require_resumable(folder)
    if accept:
        context.say(accept_offer(folder))
    return start_detached(folder) if detach else run_in_foreground(folder)


def delete(context: Context, job: JobId) -> Output:
    """Delete a job's folder and say what that frees; its model in Ollama stays."""
    context.home.require_writable()
    folder = find_job(context, job, damaged=True)
    made_a_model = folder.artefact("published.json").exists()
    freed = store.delete(folder)
    text = f"Deleted {folder.id}: {freed / 1e6:,.1f} MB are free again."
    text += " The model that it made stays where it is served." * made_a_model
    return Output({"id": folder.id, "freed_bytes": freed}, text)


def find_job(context: Context, job: str, *, damaged: bool = False) -> JobFolder:
    """The folder of a job by its id, or of the newest one by `last`."""
    jobs = context.home.jobs
    if job == LAST:
        lines = jobs_of(jobs)
        if not lines:
            raise UserError("There are no jobs yet.", "", "Start one with `tunedesk tune`.")
        job = lines[0].id
    if damaged and is_job_id(job) and (jobs / job).is_dir():
        return JobFolder(jobs / job)
    return open_job(jobs, job)


def _line_text(line: JobLine) -> str:
    parts = [f"{line.id}  {line.status:<11}  {line.model or line.kind}"]
    if line.status in ("running", "stopping", "stopped", "interrupted") and line.stage:
        steps = f" {line.step}/{line.steps}" if line.steps else ""
        parts.append(f"{line.stage}{steps}")
    if line.remaining_s is not None and line.status == "running":
        parts.append(f"{duration(line.remaining_s)} left")
    if line.problem:
        parts.append(line.problem)
    return "  ".join(parts)


def _next_step(folder: JobFolder, line: JobLine) -> str:
    if line.status in ("stopped", "interrupted", "failed"):
        offer = offer_text(folder)
        return offer or f"Go on with: tunedesk jobs resume {folder.id}"
    if line.status in ("running", "queued"):
        return f"Watch it with: tunedesk jobs follow {folder.id}"
    return ""
