"""`tunedesk verify NAME --job ID`: the four proofs of a finished job, made afresh."""

from typing import Annotated

import typer

from converters.errors import Stopped, UserError
from desktop.commands.context import STOPPED, Context, Output
from desktop.commands.live import LiveLine
from desktop.core.records import read_record
from desktop.jobs import launcher
from desktop.jobs.folder import open_job
from desktop.jobs.spec import TuneJob
from desktop.jobs.steps.prove import PROOF
from desktop.jobs.steps.result import RESULT
from desktop.ollama_api.names import same_name, unproven_name
from desktop.proof.report import ProofReport


def verify(
    context: Context,
    name: Annotated[str, typer.Argument(help="The tuned model's name.")],
    job: Annotated[str, typer.Option(help="The job that made it.")],
) -> Output:
    """Prove a tuned model again, as it is served now."""
    context.home.require_writable()
    folder = open_job(context.home.jobs, job)
    made = read_record(folder.spec, TuneJob).tune.name
    if not any(same_name(name, known) for known in (made, unproven_name(made))):
        raise UserError(
            f"The job {job} did not make {name!r}.", f"It made {made!r}.", "Name the right job."
        )
    if not folder.artefact(RESULT).exists():
        raise UserError(
            f"The job {job} has no finished model.", "It ended before its proofs.",
            "Start the tuning anew.",
        )
    with LiveLine() as line:
        code = launcher.run(folder, "verify", line.show)
    if code == STOPPED:
        raise Stopped("The earlier proofs are kept.")
    report = read_record(folder.artefact(PROOF), ProofReport)
    return Output(report.model_dump(mode="json"), "\n".join(report.lines()), code)
