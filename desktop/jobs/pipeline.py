"""The steps of a job in their order, and the order of proof: create unproven, prove, promote.

render -> score the base -> train -> export and compare -> publish -> prove -> score the result.
"""

import json

from converters.events import Note, Report, ShouldStop, Started
from desktop.core.records import read_record
from desktop.jobs.folder import JobFolder
from desktop.jobs.steps.export import EXPORT, export_step
from desktop.jobs.steps.finish import finish_step
from desktop.jobs.steps.gate import examine
from desktop.jobs.steps.prepare_text import render_step
from desktop.jobs.steps.prove import prove_step
from desktop.jobs.steps.publish import inheritance_of_job, publish_step
from desktop.jobs.steps.result import RESULT, TuneResult, write_manifest
from desktop.jobs.steps.score_base import score_base_step
from desktop.jobs.steps.train import train_step
from desktop.jobs.work import Work
from desktop.ollama_api.names import unproven_name
from desktop.proof.report import ProofReport

DONE, PROOF_FAILED = 0, 4


def tune(folder: JobFolder, report: Report, should_stop: ShouldStop) -> int:
    """Do the whole job; 0, or 4 when a proof failed and the model kept its unproven name."""
    with Work(folder, report, should_stop) as work:
        report(Started(work.job.model_dump(mode="json")))
        with work.timed("render"):
            render_step(work)
        with work.timed("score the base"):
            score_base_step(work)
        with work.timed("train"):
            train_step(work)
        inheritance = inheritance_of_job(work)
        gate = export_step(work, inheritance)
        exported = json.loads(folder.artefact(EXPORT).read_bytes())
        with work.timed("publish"):
            stored = publish_step(work, inheritance, exported["sha256"])
        with work.timed("prove"):
            proof = prove_step(work, folder.gguf, stored.model, inheritance, gate)
            code = _promoted(work, proof)
        finish_step(work, gate, proof)
        return code


def verify(folder: JobFolder, report: Report, should_stop: ShouldStop) -> int:
    """Make the four proofs of a finished job afresh, on the model as it is served now."""
    with Work(folder, report, should_stop) as work:
        report(Started(work.job.model_dump(mode="json")))
        result = read_record(folder.artefact(RESULT), TuneResult)
        gate = examine(work, folder.gguf)
        proof = prove_step(work, folder.gguf, result.model, inheritance_of_job(work), gate)
        write_manifest(folder)
        return PROOF_FAILED if proof.failed else DONE


def _promoted(work: Work, proof: ProofReport) -> int:
    name = work.job.tune.name
    if proof.failed:
        work.report(Note("error", (
            f"The proofs {', '.join(proof.failed)} failed: the model stays {unproven_name(name)}, "
            f"and {name} is untouched."
        )))
        return PROOF_FAILED
    work.wait(work.serving.promote(unproven_name(name), name))
    work.report(Note("info", f"{name} is ready."))
    return DONE

