"""What a finished job leaves: the scores, the result that `tune --json` prints, the manifest."""

from converters.durable_files import write_json
from desktop.core.catalog import file_sha256
from desktop.core.records import Record
from desktop.jobs.folder import JobFolder
from desktop.jobs.steps.written import WrittenScore
from desktop.proof.report import ProofReport

SCORES, RESULT, MANIFEST = "scores.json", "result.json", "manifest.json"


class Score(Record):
    """The task's main figure on held-out rows. few_shot: the base with three examples, or None."""

    metric: str
    before: float
    after: float
    few_shot: float | None
    rows: int


class Scores(Record):
    """Content of `scores.json`. Losses in nats a learnt token, of the files that are served."""

    score: Score
    loss_before: float
    loss_after: float
    written_before: WrittenScore | None
    written_after: WrittenScore | None


class Loss(Record):
    """Losses in nats a learnt token: of the first and last step, and of the held-out rows."""

    first: float
    last: float
    held_out_before: float
    held_out_after: float


class Drift(Record):
    """Mean KL(tuned || base) in nats a token on ordinary texts."""

    kl: float
    texts: int


class Bytes(Record):
    """Sizes of the base's file and of the finished one."""

    base: int
    model: int


class TuneResult(Record):
    """What `tune --json` prints (DESIGN 7). seconds: wall time by step."""

    job: str
    model: str
    gguf: str
    adapter: str
    steps: int
    loss: Loss
    score: Score
    drift: Drift
    proof: ProofReport
    bytes: Bytes
    seconds: dict[str, float]


def write_manifest(folder: JobFolder) -> None:
    """Write `manifest.json`: the SHA-256 of every other artefact, by its path in the folder."""
    files = sorted(
        path for path in folder.artefacts.rglob("*")
        if path.is_file() and path != folder.artefact(MANIFEST)
    )
    hashes = {path.relative_to(folder.artefacts).as_posix(): file_sha256(path) for path in files}
    write_json(folder.artefact(MANIFEST), {"files": hashes})
