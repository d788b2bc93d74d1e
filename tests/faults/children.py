"""The processes that the fault tests kill, fill up or cut off: one small piece of work each.

`python -m tests.faults.children WORK FOLDER`. Each imports only what it needs: it is started
hundreds of times.
"""

import os
import sys
from pathlib import Path


def export(folder: Path) -> None:
    """Export `base.gguf` + `adapter`, which lie beside the folder, into it."""
    from converters.export import ExportPlan, export

    source = folder.parent
    plan = ExportPlan(source / "base.gguf", source / "adapter", folder / "out" / "model.gguf")
    export(plan, lambda _: None, lambda: False)


def journal(folder: Path) -> None:
    """Continue the folder's journal by a few events of both kinds: durable and not."""
    from converters.events import Checkpoint, Finished, Note
    from desktop.jobs.journal import Journal

    with Journal(folder / "events.jsonl") as lines:
        lines.write(Note("info", "Continuing."))
        lines.write(Checkpoint(10, "step-00000010", "0" * 64))
        lines.write(Note("info", "x" * 9000))
        lines.write(Finished("done"))


def record(folder: Path) -> None:
    """Replace the folder's record by a new one."""
    from desktop.core.records import write_record
    from tests.faults.example_record import NEW

    write_record(folder / "record.json", NEW)


def job(folder: Path) -> None:
    """Make a job folder with its specification."""
    from desktop.jobs.folder import create_job
    from tests.faults.example_record import NEW

    create_job(folder / "jobs", "new", NEW)


def checkpoint(folder: Path) -> None:
    """Save the checkpoint of step 40."""
    from tests.faults.checkpoint_files import save

    save(folder / "checkpoints", 40)


def recovery(folder: Path) -> None:
    """Look for the newest checkpoint, which clears away what a killed save left."""
    from finetune.checkpoints import newest_valid

    newest_valid(folder / "checkpoints")


NO_FSYNC = "TUNEDESK_TEST_NO_FSYNC"
"""With this variable a child does what it would without any fsync: the test of the power cuts."""

WORK = {
    work.__name__: work for work in (export, journal, record, job, checkpoint, recovery)
}


def main(work: str, folder: str) -> int:
    """Do the work; a known error is printed as a person would read it."""
    from converters.errors import UserError

    try:
        WORK[work](Path(folder))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if os.environ.get(NO_FSYNC):
        os.fsync = lambda _: None
    sys.exit(main(*sys.argv[1:]))
