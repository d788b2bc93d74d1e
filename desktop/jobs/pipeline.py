"""The steps of a job in order, each reused when an earlier run finished it; what a worker calls."""

import json
from collections.abc import Callable

from converters.events import Note, Report, ShouldStop, Started
from desktop.core.records import read_record
from desktop.jobs.base_check import check_base
from desktop.jobs.data_hash import DATA, has_same_data, require_same_data
from desktop.jobs.finished_steps import FinishedSteps
from desktop.jobs.folder import JobFolder
from desktop.jobs.steps.export import EXPORT, export_step
from desktop.jobs.steps.finish import finish_step
from desktop.jobs.steps.gate import ADAPTER_GGUF, GATE, examine, read_gate
from desktop.jobs.steps.prepare_text import HARD, READING, ROWS, TOKENS, render_step
from desktop.jobs.steps.prove import PROOF, prove_step
from desktop.jobs.steps.publish import PUBLISHED, inheritance_of_job, publish_step
from desktop.jobs.steps.result import RESULT, TuneResult, write_manifest
from desktop.jobs.steps.score_base import BASE_SCORE, score_base_step
from desktop.jobs.steps.train import TRAIN, train_step
from desktop.jobs.work import Work
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.names import unproven_name
from desktop.proof.report import ProofReport

DONE, PROOF_FAILED = 0, 4
RENDER, SCORE_BASE, TRAINING, EXPORTING, PUBLISH, PROVE, PROMOTE, FINISH = ORDER = (
    "render", "score the base", "train", "export", "publish", "prove", "promote",
    "score the result",
)


def tune(folder: JobFolder, report: Report, should_stop: ShouldStop) -> int:
    """Do the job, or what is left of it; 0, or 4 when a proof failed and the model kept its
    unproven name."""
    with Work(folder, report, should_stop) as work:
        report(Started(work.job.model_dump(mode="json")))
        check_base(work)
        run = _Run(work)
        run.train()
        run.serve()
        run.finish()
        return PROOF_FAILED if run.proof.failed else DONE


def verify(folder: JobFolder, report: Report, should_stop: ShouldStop) -> int:
    """Make the four proofs of a finished job afresh, on the model as it is served now."""
    with Work(folder, report, should_stop) as work:
        report(Started(work.job.model_dump(mode="json")))
        result = read_record(folder.artefact(RESULT), TuneResult)
        gate = examine(work, folder.gguf)
        proof = prove_step(work, folder.gguf, result.model, inheritance_of_job(work), gate)
        write_manifest(folder)
        return PROOF_FAILED if proof.failed else DONE


class _Run:
    """One run of a job: every step by its name, what it writes, and how it is done."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._steps = FinishedSteps(work.folder, ORDER, work.report)
        self._said = False

    @property
    def proof(self) -> ProofReport:
        """The report of the step "prove"."""
        return read_record(self._work.folder.artefact(PROOF), ProofReport)

    def train(self) -> None:
        """From the rows to the adapter."""
        self._step(RENDER, (DATA, ROWS, HARD, TOKENS, READING), self._render)
        if RENDER in self._steps.reused and not has_same_data(self._work.folder, self._work.job):
            self._work.report(Note("warning", (
                "The data changed since its rows were prepared; the job goes on with these rows."
            )))
        self._step(SCORE_BASE, (BASE_SCORE,), lambda: score_base_step(self._work))
        self._step(TRAINING, ("adapter", TRAIN), lambda: train_step(self._work))

    def serve(self) -> None:
        """From the adapter to the proven model."""
        exported = ("model.gguf", EXPORT, ADAPTER_GGUF, GATE)
        self._step(EXPORTING, exported, lambda: export_step(self._work, self._inheritance()))
        self._step(PUBLISH, (PUBLISHED,), self._publish, self._is_served)
        self._step(PROVE, (PROOF,), self._prove, lambda: not self.proof.failed)
        self._step(PROMOTE, (), self._promote, self._has_its_name)

    def finish(self) -> None:
        """Scores, result and manifest; always made, since they close the run."""
        self._say_reused()
        gate = read_gate(self._work.folder)
        finish_step(self._work, gate, self.proof, self._steps.seconds)

    def _step(
        self, name: str, files: tuple[str, ...], do: Callable[[], None],
        still_holds: Callable[[], bool] = lambda: True,
    ) -> None:
        def first_said() -> None:
            self._say_reused()
            do()

        self._steps.run(name, files, first_said, still_holds)

    def _say_reused(self) -> None:
        if self._steps.reused and not self._said:
            names = ", ".join(self._steps.reused)
            self._work.report(Note("info", f"Kept from the earlier run: {names}."))
        self._said = True

    def _render(self) -> None:
        require_same_data(self._work.folder, self._work.job.tune)
        render_step(self._work)

    def _inheritance(self) -> Inheritance:
        return inheritance_of_job(self._work)

    def _sha256(self) -> str:
        return json.loads(self._work.folder.artefact(EXPORT).read_bytes())["sha256"]

    def _publish(self) -> None:
        publish_step(self._work, self._inheritance(), self._sha256())

    def _prove(self) -> None:
        work = self._work
        name = unproven_name(work.job.tune.name)
        prove_step(work, work.folder.gguf, name, self._inheritance(), read_gate(work.folder))

    def _promote(self) -> None:
        work, name, proof = self._work, self._work.job.tune.name, self.proof
        if proof.failed:
            work.report(Note("error", (
                f"The proofs {', '.join(proof.failed)} failed: the model stays "
                f"{unproven_name(name)}, and {name} is untouched."
            )))
            return
        if not self._holds(name):
            # Hours have passed since the name was free; nobody's model is replaced unasked.
            work.wait(work.serving.require_free_name(name, replace=work.job.tune.replace))
        work.wait(work.serving.promote(unproven_name(name), name))
        work.report(Note("info", f"{name} is ready."))

    def _is_served(self) -> bool:
        """Under the unproven name, or under its own once that was given."""
        name = self._work.job.tune.name
        return self._holds(unproven_name(name)) or (
            self._steps.is_finished(PROMOTE) and self._holds(name)
        )

    def _has_its_name(self) -> bool:
        return bool(self.proof.failed) or self._holds(self._work.job.tune.name)

    def _holds(self, name: str) -> bool:
        return self._work.wait(self._work.serving.holds(name, self._sha256()))

