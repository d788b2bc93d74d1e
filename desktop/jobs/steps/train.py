"""Step "train": the adapter, from the rows that were rendered."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from converters.errors import Stopped
from converters.events import Stage
from desktop.core.paths import Home
from desktop.core.records import Record, write_record
from desktop.jobs.accept import accepted
from desktop.jobs.outlook import outlook
from desktop.jobs.outlook_text import require_memory
from desktop.jobs.room import require_disk
from desktop.jobs.setbacks import gpu_failed, offered
from desktop.jobs.steps.prepare_text import token_rows_of
from desktop.jobs.work import Work
from finetune.data.segments import TokenRow
from finetune.spec import TrainSpec, resolve

if TYPE_CHECKING:
    from finetune.train import TrainFolders

TRAIN = "train.json"


class TrainFigures(Record):
    """Content of `train.json`. Losses in nats a learnt token."""

    steps: int
    planned_steps: int
    tokens: int
    seconds: float
    first_loss: float
    last_loss: float
    held_out_before: float | None
    held_out_after: float | None


def train_step(work: Work) -> None:
    """Train, or go on from the newest checkpoint; write the adapter and `train.json`.

    Raises Stopped after keeping a checkpoint of the last step when asked to stop.
    """
    work.report(Stage("train"))
    from finetune import train  # torch: 2 s, and only this process may load it
    from finetune.gpu_faults import GpuFault
    from finetune.out_of_memory import OutOfMemory

    rows = token_rows_of(work, "train")
    held_out = token_rows_of(work, "held_out")
    # A model that Ollama keeps loaded takes the memory that the training needs.
    work.wait(work.serving.release(work.job.base.model))
    if not (work.folder.checkpoints.exists() or work.folder.relief.exists()):
        _require_room(work, rows)
    spec = _spec(work, rows)
    work.folder.offer.unlink(missing_ok=True)  # it was accepted, or the person went on without it
    try:
        result = train.run(
            spec, rows, held_out, _folders(work), work.report, work.should_stop
        )
    except OutOfMemory as error:
        raise offered(work.folder, error, spec.relief, error.offer) from error
    except GpuFault as error:
        raise gpu_failed(work.folder, error) from error
    figures = {name: value for name, value in asdict(result).items()
               if name in TrainFigures.model_fields}
    write_record(work.folder.artefact(TRAIN), TrainFigures.model_validate(figures))
    if result.stopped:
        raise Stopped


def _require_room(work: Work, rows: list[TokenRow]) -> None:
    """Hours may have passed in the queue since the first look. Raises UserError."""
    job = work.job
    found = work.wait(outlook(Home(job.home), work.serving, job.tune, job.base, rows))
    require_memory(found)
    require_disk(found.places)


def _folders(work: Work) -> "TrainFolders":
    from finetune.train import TrainFolders  # torch

    return TrainFolders(work.folder.adapter, work.folder.checkpoints)


def _spec(work: Work, rows: list[TokenRow]) -> TrainSpec:
    from finetune.device import best_device  # torch

    lengths = [len(row.ids) for row in rows]
    spec = resolve(
        work.job.tune, work.job.base.path, parameters=parameters_of(work), rows=len(rows),
        epoch_tokens=sum(lengths),
    )
    relief = accepted(work.folder)
    recompute = relief.recompute or work.job.tune.recompute
    return spec.model_copy(update={
        "device": best_device(), "base_sha256": work.job.base.sha256,
        "relief": relief.model_copy(update={"recompute": recompute}),
    })


def parameters_of(work: Work) -> int:
    """How many weights the base has."""
    return sum(info.n_rows * info.row_length for info in work.base.tensors)
