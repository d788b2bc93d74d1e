"""Work during which the wall clock jumps: `python -m tests.faults.clock_children WORK FOLDER`."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.clock import DAY_S, jump, jumping


def journal(folder: Path) -> list[float]:
    """Write an event after each jump, by a new writer each time; the wall clock's readings."""
    from converters.events import Note
    from desktop.jobs.journal import Journal

    readings = []
    for seconds in jumping():
        with Journal(folder / "events.jsonl") as lines:
            lines.write(Note("info", f"jump {seconds}"))
        readings.append(time.time())
    return readings


def checkpoints(folder: Path) -> None:
    """Save a checkpoint after each jump; its files get the jumped time too."""
    from tests.faults.checkpoint_files import save

    for number, _ in enumerate(jumping(), start=1):
        save(folder, 10 * number)
        for path in folder.iterdir():
            if path.name == f"step-{10 * number:08}":
                os.utime(path, (time.time(), time.time()))


def jobs(folder: Path) -> list[str]:
    """Make a job after each jump, two within a second; their ids in the order of making."""
    from desktop.jobs.folder import create_job
    from tests.faults.example_record import NEW

    return [
        create_job(folder, name, NEW).id for _ in jumping() for name in ("zebra", "apple")
    ]


def export(folder: Path) -> dict[str, Any]:
    """Export while the clock jumps at each question whether to stop; the durations it tells."""
    from converters.events import Event, Progress
    from converters.export import ExportPlan, export

    shown: list[Event] = []

    def jumps() -> bool:
        jump((-DAY_S, DAY_S)[len(shown) % 2])
        time.sleep(0.1)  # a progress event at each third question
        return False

    plan = ExportPlan(folder / "base.gguf", folder / "adapter", folder / "model.gguf")
    done = export(plan, shown.append, jumps)
    remaining = [event.remaining_s for event in shown if isinstance(event, Progress)]
    return {"seconds": done.seconds, "remaining": remaining}


WORK = {work.__name__: work for work in (journal, checkpoints, jobs, export)}

if __name__ == "__main__":
    print(json.dumps(WORK[sys.argv[1]](Path(sys.argv[2]))))
