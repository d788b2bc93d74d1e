"""The run folder: the one interface between a job, the window, the command line and a cluster."""

import re
import shutil
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock

from converters.durable_files import DISK_FULL, write_bytes, write_json
from converters.errors import UserError
from desktop.core.held_lock import is_held
from desktop.core.records import Record

_ID_TIME = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class JobFolder:
    """Names of everything in one job's folder."""

    root: Path

    @property
    def id(self) -> str:
        """The job's id: UTC time and the name's letters."""
        return self.root.name

    @property
    def spec(self) -> Path:
        """What the job was told, every default resolved."""
        return self.root / "spec.json"

    @property
    def events(self) -> Path:
        """The journal."""
        return self.root / "events.jsonl"

    @property
    def output_log(self) -> Path:
        """Everything the worker printed."""
        return self.root / "output.log"

    @property
    def stop(self) -> Path:
        """Present = asked to stop."""
        return self.root / "stop"

    @property
    def artefacts(self) -> Path:
        """What the steps hand to each other and to the person."""
        return self.root / "artefacts"

    @property
    def adapter(self) -> Path:
        """The trained adapter in PEFT's format."""
        return self.artefacts / "adapter"

    @property
    def gguf(self) -> Path:
        """The finished model file."""
        return self.artefacts / "model.gguf"

    def artefact(self, name: str) -> Path:
        """The path of one artefact by its name."""
        return self.artefacts / name

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the training, by step number."""
        return self.artefacts / "checkpoints"

    @property
    def steps(self) -> Path:
        """Records of the finished steps, which a later run reuses."""
        return self.root / "steps"

    @property
    def relief(self) -> Path:
        """What the person accepted after the memory ran out; absent before."""
        return self.root / "relief.json"

    @property
    def offer(self) -> Path:
        """What the job offers after the memory ran out; absent otherwise."""
        return self.root / "offer.json"

    @property
    def reserve(self) -> Path:
        """Room for the last words on a full disk."""
        return self.root / "reserve"

    @property
    def output_start(self) -> Path:
        """Where in the output log the last run's part begins."""
        return self.root / "output_start"

    @property
    def ticket(self) -> Path:
        """The job's place in the queue; absent once its turn came."""
        return self.root / "ticket"

    def lock(self) -> FileLock:
        """Held while a worker is alive; freed by the system when it dies."""
        return FileLock(self.root / "lock")

    def is_alive(self) -> bool:
        """Whether a worker holds the lock. Asking never takes the lock from one that starts."""
        return is_held(self.root / "lock")

    def pid(self) -> int | None:
        """The worker's process number while it is alive."""
        try:
            number = int((self.root / "pid").read_text())
        except (OSError, ValueError):
            return None
        return number if self.is_alive() else None

    def write_pid(self, pid: int) -> None:
        """Note the number of the process that holds the lock."""
        write_bytes(self.root / "pid", str(pid).encode())

    def ask_to_stop(self, reason: str = "user") -> None:
        """Ask the worker to stop; it answers within one step."""
        self.stop.write_text(reason)

    def is_asked_to_stop(self) -> bool:
        """Whether somebody asked."""
        return self.stop.exists()


def create_job(jobs: Path, name: str, spec: Record) -> JobFolder:
    """Make a new job folder with its specification. The id is the UTC time and the name's letters.

    Ids sort as the jobs were made, also within a second or when the clock was set back in between;
    two programs that start a job at once get a number.
    """
    stem = f"{_time_of_next(jobs):{_ID_TIME}}-{slug(name)}"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for attempt in range(100):
            folder = JobFolder(jobs / (stem if attempt == 0 else f"{stem}-{attempt + 1}"))
            if _is_made(folder, spec):
                return folder
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise _no_room(jobs) from error
    raise UserError("No job folder could be made.", f"{jobs} holds too many jobs of this second.")


def _is_made(folder: JobFolder, spec: Record) -> bool:
    """Make the folder with its specification; False if there is one of that name."""
    try:
        folder.root.mkdir(mode=0o700)
    except FileExistsError:
        return False
    try:
        folder.artefacts.mkdir(mode=0o700)
        write_json(folder.spec, spec.model_dump(mode="json"))
    except OSError:
        shutil.rmtree(folder.root, ignore_errors=True)  # on a full disk nothing is left behind
        raise
    return True


def _no_room(jobs: Path) -> UserError:
    free = shutil.disk_usage(jobs).free
    return UserError(
        "Not started: the disk is full.",
        f"There is no room for the job's own few files: {free / 1e6:,.1f} MB are free at {jobs}. "
        "Nothing was changed; what earlier jobs made is kept.",
        "Free some space, then run the same command again.",
    )


def is_job_id(text: str) -> bool:
    """Whether it can be the id of a job: one plain folder name, not hidden, no way upwards."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None


def open_job(jobs: Path, job_id: str) -> JobFolder:
    """The folder of an existing job. Raises UserError if there is none of that id."""
    if is_job_id(job_id) and (jobs / job_id / "spec.json").is_file():
        return JobFolder(jobs / job_id)
    known = sorted(path.name for path in jobs.glob("*") if (path / "spec.json").is_file())
    listed = "Known jobs: " + ", ".join(known[-5:]) + "." if known else "There are no jobs yet."
    if is_job_id(job_id) and (jobs / job_id).is_dir():
        raise UserError(
            f'The folder of the job "{job_id}" is damaged.', f"{jobs / job_id} has no spec.json.",
            "It cannot be continued. `tunedesk jobs delete` removes what is left of it.",
        )
    raise UserError(f'There is no job "{job_id}".', listed, "`tunedesk jobs` lists all of them.")


def _time_of_next(jobs: Path) -> datetime:
    """Now, or the second after the newest job where the clock says no more than that (F33)."""
    now = datetime.now(UTC)
    times = (time for path in jobs.glob("*") if (time := _time_in(path.name)))
    return max(now, max((time + timedelta(seconds=1) for time in times), default=now))


def _time_in(job_id: str) -> datetime | None:
    try:
        return datetime.strptime(job_id[:15], _ID_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def slug(name: str) -> str:
    """A label's letters and digits in ASCII, at most 40 characters, for people who look at folders.

    Names are labels: no path is ever made of the name itself.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "job"
