"""Before any work: the base is still the file that the job began with, byte for byte."""

from converters.errors import UserError
from converters.events import Stage
from desktop.core.catalog import file_sha256
from desktop.jobs.spec import BaseFile
from desktop.jobs.work import Work
from desktop.ollama_api.errors import ModelNotFound

CHECK = "check the base"
SHOWN_DIGITS = 12


def check_base(work: Work) -> None:
    """Compare the base's file with its SHA-256 (1.2 GB/s).

    Raises UserError if the model is gone, is another one by now, or its file is damaged; Stopped
    when asked to.
    """
    work.report(Stage(CHECK))
    base = work.job.base
    _check_same_model(work, base)
    actual = file_sha256(base.path, work.should_stop)
    if actual != base.sha256:
        raise UserError(
            f"The file of {base.model!r} is damaged.",
            f"{base.path} should have the SHA-256 {base.sha256}; it has {actual}.",
            f"A pull alone does not repair it: remove the model (`ollama rm {base.model}`), pull "
            "it again, then resume the job.",
        )


def _check_same_model(work: Work, base: BaseFile) -> None:
    try:
        now = work.wait(work.serving.base_file(base.model))
    except ModelNotFound as error:
        raise UserError(
            f"The base model {base.model!r} is gone.",
            f"The job began with its file {base.sha256[:SHOWN_DIGITS]}. What the job made so far "
            "is kept.",
            f"Get it again (`tunedesk pull {base.model}`), then resume the job.",
        ) from error
    if now.sha256 != base.sha256:
        raise UserError(
            f"{base.model!r} is another model than when the job began.",
            f"Its file was {base.sha256[:SHOWN_DIGITS]} and is {now.sha256[:SHOWN_DIGITS]} now. "
            "What the job made so far is kept.",
            "Start a new job on the new model, or bring the earlier one back and resume.",
        )
